//! Files as memory: the system reads their pages when they are looked at and keeps them once for all who look.
//!
//! The only `unsafe` outside the kernels. What is handed out is read-only, and its size and alignment are checked here.

#![allow(unsafe_code, reason = "mapping a file and reading its bytes as numbers")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

/// Part of a file, as its bytes lie on the disk. Clones share the mapping, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct MappedBytes {
    file: Arc<Mmap>,
    range: Range<usize>,
}

/// Part of a file that holds f32 numbers just as this machine does.
#[derive(Clone, Debug)]
pub struct MappedNumbers(MappedBytes);

impl MappedBytes {
    /// The whole of a file.
    ///
    /// # Errors
    /// When it cannot be opened, or its file system cannot map; such a file can still be read.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the mapping is sound as long as nobody shortens the file or writes into it. The files of models are
        // replaced by a rename (as `write_aside` does, and as the Python tools do), which leaves the mapped one as it is.
        let file = unsafe { Mmap::map(&file)? };
        let range = 0..file.len();
        Ok(Self { file: Arc::new(file), range })
    }

    /// A part of this part.
    ///
    /// # Panics
    /// If it ends beyond this part.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.range.len(), "bytes {range:?} of {}", self.range.len());
        let start = self.range.start;
        Self { file: Arc::clone(&self.file), range: start + range.start..start + range.end }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.file[self.range.clone()]
    }

    /// Lets the system take the pages back, for bytes that are looked at once; looked at again, they are read again.
    pub fn let_go(&self) {
        #[cfg(unix)]
        // SAFETY: the mapping is of a file and never written: a page that was dropped comes back with the same bytes.
        let advised = unsafe {
            self.file.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, self.range.start, self.range.len())
        };
        // It is advice: where it is not taken, the pages stay until they are needed for something else.
        #[cfg(unix)]
        drop(advised);
    }

    /// The same bytes as f32 numbers; `None` where they do not lie as this machine holds numbers (little end first, at an
    /// address that four divides): then they have to be copied.
    pub fn as_numbers(&self) -> Option<MappedNumbers> {
        let numbers = MappedNumbers(self.clone());
        (cfg!(target_endian = "little") && numbers.parts().0.is_empty() && numbers.parts().2.is_empty())
            .then_some(numbers)
    }
}

impl MappedNumbers {
    /// The numbers.
    pub fn as_slice(&self) -> &[f32] {
        self.parts().1
    }

    /// Bytes before the first aligned number, the numbers, bytes behind them.
    fn parts(&self) -> (&[u8], &[f32], &[u8]) {
        // SAFETY: any four bytes are an f32; `align_to` sees to the address and the length.
        unsafe { self.0.as_slice().align_to::<f32>() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_bytes_are_the_file_s_and_outlive_its_name() {
        let path = std::env::temp_dir().join(format!("luthier-mapped-{}", std::process::id()));
        let numbers = [1.5f32, -2.25, 3e-20, 7.0];
        let bytes: Vec<u8> = std::iter::repeat_n(9, 8).chain(numbers.iter().flat_map(|x| x.to_le_bytes())).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mapped = MappedBytes::of_file(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mapped.as_slice(), bytes);
        mapped.let_go();
        assert_eq!(mapped.as_slice(), bytes, "bytes that were let go come back");
        let tail = mapped.slice(8..24);
        assert_eq!(tail.as_numbers().unwrap().as_slice(), numbers);
        assert_eq!(tail.slice(4..12).as_numbers().unwrap().as_slice(), &numbers[1..3]);
        assert!(tail.slice(2..10).as_numbers().is_none(), "not aligned");
        assert!(tail.slice(4..10).as_numbers().is_none(), "half a number at the end");
        assert!(tail.slice(0..0).as_numbers().unwrap().as_slice().is_empty());
    }

    #[test]
    #[should_panic(expected = "bytes 8..30 of 24")]
    fn a_part_beyond_the_file_is_refused() {
        let path = std::env::temp_dir().join(format!("luthier-mapped-part-{}", std::process::id()));
        std::fs::write(&path, [0; 24]).unwrap();
        let mapped = MappedBytes::of_file(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        drop(mapped.slice(8..30));
    }
}
