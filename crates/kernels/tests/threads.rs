//! The pool is sized once.

use luthier_kernels::threads;

#[test]
fn the_number_of_threads_is_chosen_once_and_work_goes_inside() {
    threads::set(3).expect("nothing has run yet");
    assert_eq!(threads::parallelism(), 3);
    let error = threads::set(2).expect_err("the pool is there");
    assert!(error.to_string().contains("before the first computation"), "{error}");
    assert_eq!(threads::parallelism(), 3);
    assert_eq!(rayon::current_thread_index(), None, "the test runs outside the pool");
    assert!(threads::inside(rayon::current_thread_index).is_some(), "inside is outside the pool");
}
