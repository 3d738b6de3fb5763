//! The built-in critic: gradient-boosted trees over what can be counted in a trajectory and a patch.
//!
//! It is trained and run here, within seconds, and needs no model server. Its probabilities are
//! calibrated on repositories that it did not see.
//!
//! The trees are our own, about 250 lines, because a critic has to be the same to the last bit for the
//! same rows in another order, on every machine, and must never panic on bad input.

mod boost;
mod calibrate;
mod evaluate;
mod features;
mod model;
mod patch;
mod peers;
mod trajectory;

pub use boost::{Ensemble, Node, Options, Tree};
pub use calibrate::{Calibration, Method};
pub use evaluate::{Evaluation, evaluate};
pub use features::{FEATURES, Features};
pub use model::{Critic, Row, TrainOptions, train};
pub use patch::{of_patch, valid};
pub use peers::{Peer, compare};
pub use trajectory::{Ending, of_trajectory, score_step};
