//! The profiling device: another device's kernels, each timed by name; products also by shape.
//!
//! What a kernel computes and moves is asked of the counting device, so that a profile and a plan agree.

mod device;

use std::fmt;
use std::time::Duration;

use luthier_kernels::matmul::MatMul;

pub(crate) use device::Profiled;

/// What a device did since it was made, kernel by kernel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Time since the device was made, or between two profiles.
    pub elapsed: Duration,
    /// One for each kernel and shape of product, in order of their names.
    pub rows: Vec<ProfileRow>,
}

/// The calls of one kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProfileRow {
    /// The kernel's name in [`Backend`].
    pub op: &'static str,
    /// Of a matrix product: its shape.
    pub product: Option<ProductShape>,
    /// What its calls took and did together.
    pub spent: Spent,
}

/// Sums over calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// How many there were.
    pub calls: u64,
    /// Time inside them.
    pub time: Duration,
    /// Multiplications and additions of products, those of attention too.
    pub product_operations: u64,
    /// Bytes of their operands and results, each read or written once.
    pub bytes: u64,
}

/// A class of matrix products, `c[m, n] = a[m, k] b[k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProductShape {
    /// How the operands lie.
    pub kind: ProductKind,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
}

/// How the operands of a product lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProductKind {
    /// `b` stored `[n, k]`: activations by a weight, in the forward.
    Nt,
    /// Both as they stand: the gradient of activations.
    Nn,
    /// `a` stored `[k, m]`: the gradient of a weight.
    Tn,
    /// Some other way.
    Strided,
}

impl fmt::Display for ProductKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nt => "nt",
            Self::Nn => "nn",
            Self::Tn => "tn",
            Self::Strided => "strided",
        })
    }
}

impl ProductShape {
    fn of(spec: &MatMul) -> Self {
        let &MatMul { m, n, k, a_strides, b_strides, .. } = spec;
        let kind = match (a_strides, b_strides) {
            (a, b) if a == (k, 1) && b == (1, k) => ProductKind::Nt,
            (a, b) if a == (k, 1) && b == (n, 1) => ProductKind::Nn,
            (a, b) if a == (1, m) && b == (n, 1) => ProductKind::Tn,
            _ => ProductKind::Strided,
        };
        Self { kind, m, n, k }
    }
}

impl Profile {
    /// What came between `earlier` and this, two profiles of one device.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |row: &ProfileRow| {
            earlier.rows.iter().find(|other| (other.op, other.product) == (row.op, row.product)).map(|row| row.spent)
        };
        let rows = self.rows.iter().filter_map(|row| {
            let spent = row.spent.minus(&before(row).unwrap_or_default());
            (spent.calls > 0).then_some(ProfileRow { spent, ..*row })
        });
        Self { elapsed: self.elapsed.saturating_sub(earlier.elapsed), rows: rows.collect() }
    }

    /// Time inside the device's kernels.
    pub fn in_kernels(&self) -> Duration {
        self.rows.iter().map(|row| row.spent.time).sum()
    }

    /// Time outside of them.
    pub fn elsewhere(&self) -> Duration {
        self.elapsed.saturating_sub(self.in_kernels())
    }
}

impl Spent {
    fn minus(&self, earlier: &Self) -> Self {
        Self {
            calls: self.calls - earlier.calls,
            time: self.time.saturating_sub(earlier.time),
            product_operations: self.product_operations - earlier.product_operations,
            bytes: self.bytes - earlier.bytes,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            time: self.time + other.time,
            product_operations: self.product_operations + other.product_operations,
            bytes: self.bytes + other.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;
    use crate::device::Device;
    use crate::{Grads, Linear, Norm, Tape, Tensor, Var};

    /// Two norms and a map of one input: the gradients, end to end.
    fn gradients(device: &Device) -> Vec<f32> {
        let check = Check::new().param("w", 6, 10).param("norm", 1, 10);
        let params = check.params();
        let (w, norm) = (params.find("w").unwrap(), params.find("norm").unwrap());
        let mut tape = Tape::training(device, params);
        let numbers: Vec<f32> = (0..50).map(|i| (i as f32).sin()).collect();
        let x = Var::constant(Tensor::from_slice(device, 5, 10, &numbers));
        let x = tape.norm(&x, &Norm::rms(norm, 1e-5));
        let x = tape.norm(&x, &Norm::rms(norm, 1e-5));
        let y = tape.linear(&x, &Linear { weight: w, bias: None, low_rank: None });
        let mut grads = Grads::zeros(device, params);
        let seed = y.tensor.clone();
        tape.backward(&y, seed, &mut grads);
        device.download(grads.flat())
    }

    #[test]
    fn a_profiled_device_computes_the_same_bits_and_its_times_add_up() {
        let plain = Device::cpu();
        assert_eq!(plain.profile(), None);
        let device = Device::profiled(&plain);
        assert_eq!(gradients(&device), gradients(&plain));
        assert_eq!(device.memory(), plain.memory());

        let profile = device.profile().unwrap();
        let calls = |op: &str| profile.rows.iter().filter(|row| row.op == op).map(|row| row.spent.calls).sum::<u64>();
        assert_eq!((calls("norm"), calls("norm_backward"), calls("matmul")), (2, 2, 3));
        assert!(profile.in_kernels() > Duration::ZERO && profile.in_kernels() <= profile.elapsed);
        assert_eq!(profile.in_kernels() + profile.elsewhere(), profile.elapsed);
    }

    #[test]
    fn products_are_told_apart_by_shape_and_counted_as_the_counting_device_counts_them() {
        let device = Device::profiled(&Device::plan());
        gradients(&device);
        let profile = device.profile().unwrap();
        let product = |kind, m, n, k| {
            let shape = Some(ProductShape { kind, m, n, k });
            profile.rows.iter().find(|row| row.product == shape).expect("that product was computed").spent
        };
        for spent in
            [product(ProductKind::Nt, 5, 6, 10), product(ProductKind::Nn, 5, 10, 6), product(ProductKind::Tn, 6, 10, 5)]
        {
            assert_eq!((spent.calls, spent.product_operations), (1, 600));
        }
        let operations: u64 = profile.rows.iter().map(|row| row.spent.product_operations).sum();
        let products = |row: &&ProfileRow| row.product.is_some();
        let bytes: u64 = profile.rows.iter().filter(|row| !products(row)).map(|row| row.spent.bytes).sum();
        assert_eq!(operations, device.work().product_operations);
        // Uploads and downloads are no kernels: the counting device does not count them.
        let transfers = 4 * (50 + 70);
        assert_eq!(bytes, device.work().row_kernel_bytes + transfers);
    }

    #[test]
    fn the_difference_of_two_profiles_holds_only_what_came_between() {
        let device = Device::profiled(&Device::plan());
        gradients(&device);
        let before = device.profile().unwrap();
        let zeros = Tensor::zeros(&device, 2, 2);
        let between = device.profile().unwrap().since(&before);
        let ops: Vec<&str> = between.rows.iter().map(|row| row.op).collect();
        assert_eq!(ops, ["allocate", "fill"]);
        assert!(between.rows.iter().all(|row| row.spent.calls == 1));
        drop(zeros);
    }
}
