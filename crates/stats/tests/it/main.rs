//! Closed forms against counting and against drawing.

mod cascade;
mod monte_carlo;
mod speed;
