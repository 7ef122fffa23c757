//! Documents in batches, for work on all threads.

use super::Documents;
use crate::document::Document;
use crate::fault::SourceFault;

/// Documents that are worked on together.
pub(crate) const BATCH: usize = 2048;

/// Bytes of text after which a batch is full.
const BATCH_BYTES: usize = 8 << 20;

impl Documents {
    /// The next documents and the faults among them, in order: as many as are well worked on together. `None` at the end.
    pub fn batch(&mut self) -> Option<(Vec<Document>, Vec<SourceFault>)> {
        let (mut documents, mut faults, mut bytes) = (Vec::new(), Vec::new(), 0);
        while documents.len() + faults.len() < BATCH && bytes < BATCH_BYTES {
            match self.next() {
                None => break,
                Some(Ok(document)) => {
                    bytes += document.fields.iter().map(|(_, text)| text.len()).sum::<usize>();
                    documents.push(document);
                }
                Some(Err(fault)) => faults.push(fault),
            }
        }
        (!documents.is_empty() || !faults.is_empty()).then_some((documents, faults))
    }
}
