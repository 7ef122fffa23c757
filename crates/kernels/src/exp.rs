//! The exponential and what is made of it, written so that loops over it vectorise.

/// `e^x` in single precision, within 2 units in the last place; 0 for `-inf`, `inf` above 88.73, NaN for NaN.
///
/// Argument reduction `x = n ln 2 + r` with `|r| <= ln 2 / 2` (Cody and Waite's two-part constant), a polynomial in `r`,
/// and a scaling by `2^n` in two steps, so that results below the smallest normal number come out right too.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    /// Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
    const SHIFT: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-104.0, 89.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    let r = n.mul_add(-LN2_HIGH, x);
    let r = n.mul_add(-LN2_LOW, r);
    // Taylor to r^7: at |r| <= 0.347 the next term is below 6e-9 relative.
    let p = r.mul_add(1.0 / 5040.0, 1.0 / 720.0);
    let p = p.mul_add(r, 1.0 / 120.0);
    let p = p.mul_add(r, 1.0 / 24.0);
    let p = p.mul_add(r, 1.0 / 6.0);
    let p = p.mul_add(r, 0.5);
    let p = p.mul_add(r * r, r) + 1.0;
    let n = (shifted.to_bits() as i32).wrapping_sub(SHIFT.to_bits() as i32);
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `2^n` for `n` in -126..=127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32).wrapping_shl(23))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
#[must_use]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `tanh x`, within 4 units in the last place.
///
/// Below 3/4 a convergent of Lambert's continued fraction `x / (1 + x^2 / (3 + x^2 / (5 + ...)))` (DLMF 4.39), five levels
/// deep and off by less than 1e-8 there; above it `(e^2x - 1) / (e^2x + 1)`.
#[inline(always)]
#[must_use]
pub fn tanh(x: f32) -> f32 {
    // From 10 on it is 1.
    let a = x.abs().clamp(0.0, 10.0);
    let z = a * a;
    let e = exp(2.0 * a);
    let near = (a * (z + 105.0).mul_add(z, 945.0), z.mul_add(15.0, 420.0).mul_add(z, 945.0));
    let (numerator, denominator) = if a < 0.75 { near } else { (e - 1.0, e + 1.0) };
    (numerator / denominator).copysign(x)
}

/// The standard normal distribution: the probability of less than `x`, `(1 + erf(x / sqrt 2)) / 2`, within 1e-7 and in its
/// lower tail within 1e-6 of itself down to -5; and the density `e^(-x^2/2) / sqrt(2 pi)`.
///
/// Below 1.2 the Taylor series of erf (DLMF 7.6.1), off by less than 1e-8 there. Above it the density times a polynomial in
/// `1 / (1 + x/2)`, in the manner of Abramowitz and Stegun 26.2.17, fitted to 2e-7 of itself by `tools/fit_normal_tail.py`.
#[inline(always)]
#[must_use]
pub fn normal(x: f32) -> (f32, f32) {
    /// `1 / sqrt(2 pi)`.
    const PEAK: f32 = 0.398_942_3;
    let a = x.abs();
    let u = 0.5 * (x * x);
    let density = PEAK * exp(-u);
    // The sum of (-u)^n / (n! (2n + 1)).
    let s = u.mul_add(1.0 / 685_440.0, -1.0 / 75_600.0);
    let s = s.mul_add(u, 1.0 / 9_360.0);
    let s = s.mul_add(u, -1.0 / 1_320.0);
    let s = s.mul_add(u, 1.0 / 216.0);
    let s = s.mul_add(u, -1.0 / 42.0);
    let s = s.mul_add(u, 0.1);
    let s = s.mul_add(u, -1.0 / 3.0);
    let s = s.mul_add(u, 1.0);
    let near = (PEAK * x).mul_add(s, 0.5);
    let t = 1.0 / a.mul_add(0.5, 1.0);
    let q = t.mul_add(0.300_781_37, -0.762_391_45);
    let q = q.mul_add(t, 0.404_026_42);
    let q = q.mul_add(t, 0.305_918_66);
    let q = q.mul_add(t, 0.508_973_5);
    let q = q.mul_add(t, 0.499_518_87);
    let tail = density * t * q;
    let far = if x < 0.0 { tail } else { 1.0 - tail };
    (if a < 1.2 { near } else { far }, density)
}

/// The same in double precision, without tricks.
pub mod plain {
    /// The error function, `2/sqrt(pi) e^(-x^2)` times the sum of `2^n x^(2n+1) / (2n+1)!!` (DLMF 7.6.2), whose terms all have
    /// one sign.
    #[must_use]
    pub fn erf(x: f64) -> f64 {
        if x.abs() > 6.0 {
            return x.signum();
        }
        let (mut sum, mut term) = (x, x);
        for n in 1..300 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
        }
        std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
    }
}
