//! A team: the threads of the pool kept awake for work that comes in short pieces, one after another, as a step of
//! decoding does.
//!
//! The pool lets a thread sleep when it has found nothing to do for some ten microseconds, and waking it takes as long; a
//! pass over a small model consists of hundreds of kernels that short. In a team the other threads wait for the next piece
//! by looking, so that handing out work costs a microsecond. They are the pool's threads: while the team stands, nobody
//! else has them.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

thread_local! {
    /// The team that this thread leads.
    static LED: Cell<Option<*const Team>> = const { Cell::new(None) };
}

/// Set in [`Team::gate`] while there is no work to take part in.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// Looks at nothing new before a waiting thread lets others run.
const PATIENCE: u32 = 1 << 14;

struct Team {
    /// Counts the pieces of work, so that the members see a new one.
    call: AtomicUsize,
    /// How many members are at the work, and [`CLOSED`].
    gate: AtomicUsize,
    /// The work; valid while a member is inside an open gate.
    work: Mutex<Option<Work>>,
    over: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A piece of work whose true lifetime is that of the call that hands it out.
#[derive(Clone, Copy)]
struct Work(&'static (dyn Fn() + Sync));

/// Calls `f`, and keeps the other threads of the pool ready for the kernels in it.
pub fn team<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    let members = super::parallelism() - 1;
    if members == 0 || LED.get().is_some() {
        return f();
    }
    let team = Team {
        call: AtomicUsize::new(0),
        gate: AtomicUsize::new(CLOSED),
        work: Mutex::new(None),
        over: AtomicBool::new(false),
        panic: Mutex::new(None),
    };
    rayon::scope(|scope| {
        let leader = std::thread::current().id();
        let team = &team;
        for _ in 0..members {
            // A leader that waits for something else must not become its own member.
            scope.spawn(move |_| {
                if std::thread::current().id() != leader {
                    team.serve();
                }
            });
        }
        let _led = Led::new(team);
        f()
    })
}

/// Calls `f` on this thread, which leads a team, and at the same time on those members that come while it runs here. `f`
/// returns when there is nothing left to do.
pub(super) fn together(f: &(dyn Fn() + Sync)) {
    let team = LED.get().expect("the thread leads a team");
    // SAFETY: `LED` is set for no longer than its team lives, and on its leader's thread alone.
    #[allow(unsafe_code)]
    let team = unsafe { &*team };
    team.call(f);
}

/// Whether this thread leads a team, so that work in small pieces is worth handing out.
#[must_use]
pub fn leads_team() -> bool {
    LED.get().is_some()
}

struct Led<'a>(&'a Team);

impl<'a> Led<'a> {
    fn new(team: &'a Team) -> Self {
        LED.set(Some(team));
        Self(team)
    }
}

impl Drop for Led<'_> {
    fn drop(&mut self) {
        LED.set(None);
        self.0.over.store(true, Ordering::Release);
    }
}

/// Closes the gate and waits until every member is outside, also when the work panics.
struct Open<'a>(&'a Team);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.gate.fetch_or(CLOSED, Ordering::AcqRel);
        wait_until(|| self.0.gate.load(Ordering::Acquire) == CLOSED);
    }
}

impl Team {
    fn call(&self, f: &(dyn Fn() + Sync)) {
        // SAFETY: members use the work only inside an open gate, and this function returns, or unwinds, when the gate is
        // closed and nobody is inside (`Open`).
        #[allow(unsafe_code)]
        let work = Work(unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(f) });
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
        let open = Open(self);
        self.gate.fetch_and(!CLOSED, Ordering::AcqRel);
        self.call.fetch_add(1, Ordering::Release);
        f();
        drop(open);
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// What a member does: each piece of work once, until the team is over.
    fn serve(&self) {
        let mut seen = 0;
        loop {
            wait_until(|| self.call.load(Ordering::Acquire) != seen || self.over.load(Ordering::Acquire));
            if self.over.load(Ordering::Acquire) {
                return;
            }
            seen = self.call.load(Ordering::Acquire);
            if self.gate.fetch_add(1, Ordering::AcqRel) & CLOSED == 0 {
                let work = *self.work.lock().unwrap_or_else(PoisonError::into_inner);
                let Work(f) = work.expect("work is there before the gate opens");
                if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
                    *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
                }
            }
            self.gate.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn wait_until(done: impl Fn() -> bool) {
    let mut looks = 0;
    while !done() {
        looks += 1;
        if looks % PATIENCE == 0 {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}
