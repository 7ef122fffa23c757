//! Teams: what they compute, and how they end.

mod support;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use luthier_kernels::attention::{AttentionShape, Segment, attention};
use luthier_kernels::packed::{self, PackedView, Packing};
use luthier_kernels::threads::{self, rows_of};
use luthier_kernels::{MatMul, matmul};
use support::{Random, bits, same_for_any_threads};

/// Runs `f` on a pool of so many threads.
fn on<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool").install(f)
}

#[test]
fn kernels_have_the_same_bits_in_a_team_and_outside() {
    let (outs, ins) = (700, 577);
    let mut random = Random::new(11);
    let (x, w) = (random.vec(4 * ins), random.vec(outs * ins));
    let (codes, scales) = packed::pack(Packing::Int8, outs, ins, &w);
    let shape = AttentionShape { scale: 0.2, ..AttentionShape::new(6, 3, 40) };
    let (q, k) = (random.vec(2 * 240), random.vec(900 * 120));
    let segments = [
        Segment { queries: 0..1, keys: vec![0..300, 310..400] },
        Segment { queries: 1..2, keys: vec![0..16, 450..900] },
    ];
    let compute = || {
        let (mut y, mut z) = (vec![0.0; 4 * outs], vec![0.0; 4 * outs]);
        matmul(&MatMul::nt(4, outs, ins), &x, &w, &mut y);
        let view = PackedView::new(Packing::Int8, outs, ins, &codes, &scales);
        packed::matmul(&MatMul::nt(4, outs, ins), &x, &view, &mut z);
        let (mut out, mut lse) = (vec![0.0; 2 * 240], vec![0.0; 12]);
        attention(&q, &k, &k, &shape, &segments, &mut out, &mut lse);
        (bits(&y), bits(&z), bits(&out), bits(&lse))
    };
    let outside = compute();
    same_for_any_threads("a team", || {
        let inside = threads::team(compute);
        assert!(inside == outside);
        inside
    });
}

#[test]
fn every_row_and_every_task_is_visited_once() {
    for threads in [1, 2, 5] {
        on(threads, || {
            threads::team(|| {
                for n in [0, 1, 7, 1000] {
                    let mut seen = vec![0u32; 3 * n];
                    threads::rows(n, 2, rows_of(&mut seen, 3), |range, out| {
                        for (row, out) in range.zip(out.data.chunks_exact_mut(3)) {
                            out.fill(row as u32 + 1);
                        }
                    });
                    assert!(seen.chunks_exact(3).enumerate().all(|(row, s)| s == [row as u32 + 1; 3]));
                    let visits = AtomicUsize::new(0);
                    threads::for_each((1..=n).collect(), |i| {
                        visits.fetch_add(i, Ordering::Relaxed);
                    });
                    assert_eq!(visits.into_inner(), n * (n + 1) / 2);
                    let doubled = threads::map((0..n).collect(), 1 << 17, |i| 2 * i);
                    assert_eq!(doubled, (0..n).map(|i| 2 * i).collect::<Vec<_>>());
                }
            });
        });
    }
}

#[test]
fn the_members_take_part() {
    on(3, || {
        threads::team(|| {
            // Tasks long enough that every member arrives while there is one left.
            let who = Mutex::new(HashSet::new());
            threads::for_each((0..300).collect(), |_| {
                who.lock().expect("nobody panics here").insert(std::thread::current().id());
                std::thread::sleep(std::time::Duration::from_millis(1));
            });
            assert_eq!(who.into_inner().expect("nobody panics here").len(), 3);
        });
    });
}

#[test]
fn a_team_inside_a_team_is_the_same_team_and_teams_follow_each_other() {
    on(2, || {
        for round in 0..50 {
            let sum = threads::team(|| {
                assert!(threads::leads_team());
                threads::team(|| threads::map(vec![round; 9], 1 << 20, |i| i + 1).iter().sum::<usize>())
            });
            assert_eq!(sum, 9 * (round + 1));
            assert!(!threads::leads_team());
        }
    });
}

#[test]
fn a_panic_in_a_task_reaches_the_caller_and_the_threads_live_on() {
    on(3, || {
        for bad in [0, 50, 99] {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                threads::team(|| {
                    threads::for_each((0..100).collect(), |i| assert_ne!(i, bad, "task {i} fails"));
                });
            }));
            assert!(caught.is_err(), "task {bad}");
            assert_eq!(threads::team(|| threads::map(vec![1; 20], 1 << 20, |i| i)).len(), 20);
        }
    });
}
