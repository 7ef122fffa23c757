//! Rows of the task: a description in, the title of the device out.

use std::sync::LazyLock;

use serde::Serialize;

use super::combination::{Device, Shuffled, Side, combinations};
use super::description::describe;
use super::{Language, purpose};
use crate::random::{Stream, key};

/// An alpaca row. Serialised it holds the three text fields alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceRow {
    /// What is asked, in the language of the row.
    pub instruction: String,
    /// The description of the device.
    pub input: String,
    /// Its title.
    pub output: String,
    /// The combination behind the row.
    #[serde(skip)]
    pub attributes: Device,
    /// The language of all three fields.
    #[serde(skip)]
    pub language: Language,
}

const INSTRUCTIONS_ZH: &[&str] = &[
    "請為以下裝置說明擬定名稱。",
    "閱讀下列說明，寫出這項裝置的完整名稱。",
    "根據以下描述，這項裝置應該叫什麼名稱？",
    "請替下面描述的裝置命名。",
    "請寫出符合以下說明的裝置名稱。",
];

const INSTRUCTIONS_EN: &[&str] = &[
    "Give the device described below its title.",
    "Read the description and write the full title of the device.",
    "What title should the following device carry?",
    "Name the device that is described here.",
    "Write the title that fits this description.",
];

/// The first `n` rows of one side, each of another combination; fewer where the side is exhausted.
///
/// The same seed gives the same rows, and fewer rows are the beginning of more rows.
pub fn rows(seed: u64, n: usize, side: Side) -> impl Iterator<Item = DeviceRow> {
    Shuffled::new(key(&[seed, purpose::ORDER]))
        .filter(move |device| device.side() == side)
        .take(n)
        .map(move |device| row(seed, device))
}

/// The row of one combination; its wording depends on the seed and the combination.
fn row(seed: u64, device: Device) -> DeviceRow {
    let mut stream = Stream::new(seed, purpose::ROW, device.number());
    let language = language_of(&mut stream);
    let instructions = match language {
        Language::Chinese => INSTRUCTIONS_ZH,
        Language::English => INSTRUCTIONS_EN,
    };
    DeviceRow {
        instruction: stream.pick(instructions).to_owned(),
        input: describe(device, language, &mut stream),
        output: device.title(language),
        attributes: device,
        language,
    }
}

/// Chinese in six draws of ten.
pub(super) fn language_of(stream: &mut Stream) -> Language {
    if stream.chance(60) { Language::Chinese } else { Language::English }
}

/// How many combinations lie on one side: the most rows that can be asked of it.
#[must_use]
pub fn combinations_of(side: Side) -> u64 {
    static TEST: LazyLock<u64> = LazyLock::new(|| {
        let all = (0..combinations()).map(Device::from_number);
        all.filter(|device| device.side() == Side::Test).count() as u64
    });
    match side {
        Side::Train => combinations() - *TEST,
        Side::Test => *TEST,
    }
}

/// Three Chinese and three English rows of the test side, to be shown in a README.
#[must_use]
pub fn readme_examples() -> Vec<DeviceRow> {
    [Language::Chinese, Language::English]
        .into_iter()
        .flat_map(|language| rows(2, usize::MAX, Side::Test).filter(move |row| row.language == language).take(3))
        .collect()
}

#[cfg(test)]
mod tests;
