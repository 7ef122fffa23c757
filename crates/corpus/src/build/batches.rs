//! The documents of a source, a batch at a time, under the name that the recipe gives it.

use std::path::Path;
use std::sync::Arc;

use super::pipeline::Collected;
use crate::document::Document;
use crate::error::CorpusError;
use crate::fault::SourceFault;
use crate::source::Documents;

/// The documents of a source in batches, under the name that the recipe gives it.
pub(super) struct Batches<'c> {
    collected: &'c Collected,
    pub(super) documents: Documents,
    /// The file of the last document, and what it is called.
    called: Option<(Arc<Path>, Arc<Path>)>,
}

impl<'c> Batches<'c> {
    pub(super) fn open(collected: &'c Collected) -> Result<Self, CorpusError> {
        Ok(Batches { collected, documents: collected.source.documents()?, called: None })
    }

    pub(super) fn next(&mut self) -> Option<(Vec<Document>, Vec<SourceFault>)> {
        let (mut documents, mut faults) = self.documents.batch()?;
        for document in &mut documents {
            document.provenance.file = self.name_of(&document.provenance.file);
        }
        for fault in &mut faults {
            fault.file = self.name_of(&fault.file);
        }
        Some((documents, faults))
    }

    fn name_of(&mut self, file: &Arc<Path>) -> Arc<Path> {
        if let Some((known, name)) = &self.called
            && Arc::ptr_eq(known, file)
        {
            return name.clone();
        }
        let within = file.strip_prefix(&self.collected.source.path).unwrap_or(file);
        let name = Path::new(&self.collected.name);
        let name = if within.as_os_str().is_empty() { name.to_owned() } else { name.join(within) };
        let name: Arc<Path> = name.into();
        self.called = Some((file.clone(), name.clone()));
        name
    }
}
