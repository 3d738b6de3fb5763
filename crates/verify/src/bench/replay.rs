//! Attempts made one after another until a rule says stop, again and again in random orders.

use palestra_stats::{Field, SplitMix};
use serde::{Deserialize, Serialize};

use super::pool::{Labelled, Pool};
use super::rows::is_right;
use crate::candidate::Score;
use crate::cascade::{Cascade, columns};
use crate::error::{Result, VerifyError};
use crate::stop::{Cost, Decision, EarlyStop};

/// What a rule for stopping comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// The share of the tasks that are resolved.
    pub resolved: f64,
    /// Attempts at the mean task.
    pub attempts: f64,
    /// What these took, at the mean task.
    pub cost: Cost,
    /// The share of the orders that ended because the best was good enough.
    pub good_enough: f64,
    /// Because one more was not worth it.
    pub not_worth_it: f64,
    /// Because the budget was spent, or there were no more attempts.
    pub spent: f64,
}

/// Replays a rule on every task in so many random orders. `by` is the score that the rule goes by; it
/// is to be a calibrated probability. What other tasks' attempts have of it is the prior. The cascade
/// chooses among the attempts that were made.
///
/// # Errors
/// If there is no valid attempt, or two have one name.
pub fn replay(
    pool: &Pool,
    rule: &EarlyStop,
    by: &str,
    cascade: &Cascade,
    orders: usize,
    seed: u64,
) -> Result<Replay> {
    let (mut tasks, _) = pool.tasks()?;
    tasks.retain(|_, rows| !rows.is_empty());
    if tasks.is_empty() || orders == 0 {
        return Err(VerifyError::Empty("there is no valid attempt, or no order".to_owned()));
    }
    let score = |row: &&Labelled| row.candidate.score(by);
    let mut sum = Replay::default();
    for (number, (task, rows)) in tasks.iter().enumerate() {
        let others = tasks.iter().filter(|(other, _)| *other != task).flat_map(|(_, rows)| rows);
        let prior: Vec<f64> = others.filter_map(|row| score(row).get()).collect();
        let mut random = SplitMix::stream(seed, number as u64);
        for _ in 0..orders {
            let mut order = rows.clone();
            random.shuffle(&mut order);
            let (mut seen, mut spent): (Vec<Score>, Cost) = Default::default();
            let mut ended = Decision::Spent;
            for row in &order {
                let decision = rule.decide(&seen, &spent, &prior);
                if !decision.goes_on() {
                    ended = decision;
                    break;
                }
                seen.push(score(row));
                spent += row.cost;
            }
            match ended {
                Decision::GoodEnough { .. } => sum.good_enough += 1.0,
                Decision::NotWorthIt { .. } => sum.not_worth_it += 1.0,
                Decision::Spent | Decision::GoOn { .. } => sum.spent += 1.0,
            }
            sum.attempts += seen.len() as f64;
            sum.cost += spent;
            sum.resolved += chosen_worth(cascade, &order[..seen.len()])?;
        }
    }
    let all = (tasks.len() * orders) as f64;
    let Replay { resolved, attempts, cost, good_enough, not_worth_it, spent } = &mut sum;
    let Cost { tokens, seconds, usd } = cost;
    for sum in [resolved, attempts, tokens, seconds, usd, good_enough, not_worth_it, spent] {
        *sum /= all;
    }
    Ok(sum)
}

/// The mean worth of what a cascade keeps of these; the first of equals at a border is the first that
/// was made.
fn chosen_worth(cascade: &Cascade, made: &[&Labelled]) -> Result<f64> {
    if made.is_empty() {
        return Ok(0.0);
    }
    let (stages, names) = cascade.compile();
    let columns = columns(&names, made.iter().map(|row| &row.candidate));
    let field = Field::new(&columns, vec![0.0; made.len()])?;
    let order: Vec<usize> = (0..made.len()).collect();
    let kept = stages.apply(&field, &order)?.pop().unwrap_or(order);
    let right = kept.iter().filter(|i| is_right(made[**i])).count();
    Ok(right as f64 / kept.len().max(1) as f64)
}
