//! The Hub as the command line has it: `--offline`, and a bar while files arrive.

use std::sync::{Mutex, PoisonError};

use luthier_hub::{Hub, HubError, Progress, Settings};

use crate::cmd::Failure;
use crate::progress::Bar;

/// Whether the network may be used.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct HubArgs {
    /// Takes what is on the Hub from its cache and opens no connection, as HF_HUB_OFFLINE=1 does
    #[arg(long)]
    offline: bool,
}

impl HubArgs {
    /// The Hub of the environment, which shows on stderr how downloads go.
    pub(crate) fn hub(self) -> Hub {
        let settings = Settings::from_env();
        let settings = Settings { offline: settings.offline || self.offline, ..settings };
        let bar = Mutex::new(None);
        Hub::new(settings).watched(move |progress| {
            show(&mut bar.lock().unwrap_or_else(PoisonError::into_inner), progress);
        })
    }
}

/// One bar for the files that are fetched together, told from the next by the sum of their bytes.
fn show(shown: &mut Option<(u64, Bar)>, progress: &Progress<'_>) {
    let Progress { repo, file, done, total } = *progress;
    if shown.as_ref().is_none_or(|(of, _)| *of != total) {
        *shown = Some((total, Bar::of_bytes(repo, total)));
    }
    if let Some((_, bar)) = shown {
        bar.set_bytes(done, file);
        if done == total {
            bar.finish();
        }
    }
}

/// What the user can mend by giving something else exits with 2, a mishap on the way with 1.
pub(crate) fn failure(error: HubError) -> Failure {
    if error.is_input() { Failure::input(error) } else { Failure::run(error) }
}
