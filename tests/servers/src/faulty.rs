//! A double with a memory, in which a test says what goes wrong with which request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::double::{Asked, Double, Said};

/// What goes wrong with a request.
#[derive(Debug)]
pub enum Fault {
    /// Nothing.
    No,
    /// It is answered so, and nothing happens.
    Instead(Said),
    /// It happens, and the answer is lost.
    Unheard,
    /// It happens, and the answer's body breaks off in the middle.
    Cut,
}

type Faults<S> = Box<dyn FnMut(&Asked, &mut S) -> Fault + Send>;

/// A service that keeps `S`.
pub struct Faulty<S> {
    double: Double,
    state: Arc<Mutex<S>>,
    faults: Arc<Mutex<Faults<S>>>,
}

impl<S: Send + 'static> Faulty<S> {
    /// Starts one that answers by `answer`.
    pub(crate) fn begin(state: S, answer: impl Fn(&Asked, &mut S) -> Said + Send + Sync + 'static) -> Self {
        let state = Arc::new(Mutex::new(state));
        let faults: Arc<Mutex<Faults<S>>> = Arc::new(Mutex::new(Box::new(|_, _| Fault::No)));
        let (known, wrong) = (state.clone(), faults.clone());
        let double = Double::start(move |asked| {
            let mut state = locked(&known);
            let fault = (locked(&wrong))(asked, &mut state);
            if let Fault::Instead(said) = fault {
                return said;
            }
            let said = answer(asked, &mut state);
            match fault {
                Fault::Unheard => Said::lost(),
                Fault::Cut => said.cut_in_half("GET"),
                _ => said,
            }
        });
        Self { double, state, faults }
    }

    /// What it keeps.
    pub fn state(&self) -> MutexGuard<'_, S> {
        locked(&self.state)
    }

    /// From now on `faults` says what goes wrong.
    pub fn fail(&self, faults: impl FnMut(&Asked, &mut S) -> Fault + Send + 'static) {
        *locked(&self.faults) = Box::new(faults);
    }

    /// Everything that it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.double.asked()
    }

    /// Its address.
    pub fn endpoint(&self) -> &str {
        self.double.endpoint()
    }
}

/// Also when a test has failed with it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
