//! Numbers that are there already, for a device to take over.

use luthier_files::MappedNumbers;

/// Where numbers lie before a device has them.
#[derive(Debug)]
pub enum Numbers {
    /// In memory that the device may keep.
    Owned(Vec<f32>),
    /// In a file, where they stay.
    Mapped(MappedNumbers),
}
