//! Attempts by agents that are simulated: what they *do* is made up by a seed, what they *leave* is a
//! patch whose verdict is known from real runs, and what they *see of tests* is what real runs say.
//!
//! An agent has a skill from 0 to 1. It decides how likely the patch is right, how carefully the agent
//! looks and tests, and whether it tries again when tests fail. So that a critic can learn from such
//! trajectories at all is built in, and shows that the machinery works, not how good a critic is on
//! real agents.

use palestra_core::Hash;
use palestra_core::atif::{
    AgentInfo, FinalMetrics, Observation, ObservationResult, SCHEMA_VERSION, Step, ToolCall,
    Trajectory,
};
use palestra_stats::SplitMix;
use serde_json::{Map, Value, json};

/// Skills of the agents, in turn.
const SKILLS: [f64; 4] = [0.2, 0.4, 0.6, 0.8];
/// Tokens of a turn, all of them made up.
const TOKENS: u64 = 3000;

/// A patch whose worth is known.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) patch: Vec<u8>,
    pub(super) right: bool,
    /// Tests that fail with it.
    pub(super) failed: usize,
}

/// What an agent is about to do, before any test was run.
#[derive(Debug, Clone)]
pub(super) struct Intent {
    pub(super) id: String,
    skill: f64,
    /// Places of the patches that it makes first, and if it tries again.
    pub(super) first: usize,
    pub(super) second: usize,
    tests: bool,
    again: bool,
    looks: usize,
    searches: usize,
    stumbles: usize,
    submits: bool,
}

/// Intents of `count` agents at a task. `known` is in the order of names, the right ones somewhere
/// among them.
pub(super) fn intents(task: &str, known: &[Known], count: usize, seed: u64) -> Vec<Intent> {
    let number = Hash::of(task.as_bytes());
    let number = u64::from_str_radix(&number.as_str()[..16], 16).unwrap_or_default();
    let mut random = SplitMix::stream(seed, number);
    let difficulty = random.unit();
    let mut all = Vec::with_capacity(count);
    for place in 0..count {
        let skill = SKILLS[place % SKILLS.len()];
        let chance = (skill + 0.25 - 0.5 * difficulty).clamp(0.03, 0.97);
        let mut draw = || {
            let right = random.unit() < chance;
            let of: Vec<usize> = (0..known.len()).filter(|i| known[*i].right == right).collect();
            let of = if of.is_empty() { (0..known.len()).collect() } else { of };
            let (a, b) = (of[random.below(of.len())], of[random.below(of.len())]);
            // Who is skilled errs less badly.
            let careful = random.unit() < skill;
            if careful && known[b].failed < known[a].failed { b } else { a }
        };
        let (first, second) = (draw(), draw());
        let slow = (4.0 * difficulty) as usize;
        all.push(Intent {
            id: format!("{task}__{}", place + 1),
            skill,
            first,
            second,
            tests: random.unit() < 0.2 + 0.7 * skill,
            again: random.unit() < skill,
            looks: 1 + random.below(4) + random.below(slow + 1),
            searches: random.below(4),
            stumbles: random.below(1 + (4.0 * (1.0 - skill)) as usize),
            submits: random.unit() < 0.7 + 0.3 * skill,
        });
    }
    all
}

/// What an agent saw of the regression tests with a patch: how many failed and passed.
pub(super) type Seen = (usize, usize);

impl Intent {
    /// The place of the patch that it leaves, once it is known what its first one does to the tests.
    pub(super) fn leaves(&self, first: Option<Seen>) -> usize {
        let failed = first.is_some_and(|(failed, _)| failed > 0);
        if self.tests && self.again && failed { self.second } else { self.first }
    }

    /// Its trajectory. `seen` are the regression tests with the first patch and with the last one.
    pub(super) fn trajectory(&self, paths: &[String], seen: [Option<Seen>; 2]) -> Trajectory {
        let mut made = Made::default();
        let path = |i: usize| paths.get(i % paths.len().max(1)).map_or("setup.py", String::as_str);
        for i in 0..self.searches {
            made.bash(&format!("grep -rn \"{}\" .", stem(path(i))), "./a.py:1: ...", true);
        }
        for i in 0..self.looks {
            made.bash(&format!("cat {}", path(i)), "...", true);
        }
        for i in 0..self.stumbles {
            let program = format!("python repro_{i}.py");
            made.bash(&program, "Traceback (most recent call last):\n...", false);
        }
        let edit = |made: &mut Made, round: usize| {
            for path in paths {
                made.edit(path, round);
            }
        };
        edit(&mut made, 0);
        if self.tests {
            made.tests(seen[0]);
            let failed = seen[0].is_some_and(|(failed, _)| failed > 0);
            if self.again && failed {
                edit(&mut made, 1);
                made.tests(seen[1]);
            }
        }
        let exit = match self.submits {
            true => "submitted",
            false => {
                made.bash("git diff", "...", true);
                "step_limit"
            }
        };
        made.finish(exit, self.skill)
    }
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".py").unwrap_or(name)
}

#[derive(Default)]
struct Made {
    steps: Vec<Step>,
}

impl Made {
    fn call(&mut self, name: &str, arguments: Value, observed: &str, fine: bool) {
        let number = self.steps.len() as u64 + 1;
        let id = format!("call_{number}");
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let mut extra = Map::new();
        extra.insert("status".to_owned(), json!(i32::from(!fine)));
        let result = ObservationResult {
            source_call_id: Some(id.clone()),
            content: Some(Value::from(observed)),
            extra,
        };
        self.steps.push(Step {
            step_id: number,
            timestamp: None,
            source: "agent".to_owned(),
            model_name: None,
            message: Value::from(""),
            reasoning_content: None,
            tool_calls: vec![ToolCall {
                tool_call_id: id,
                function_name: name.to_owned(),
                arguments,
                extra: Map::new(),
            }],
            observation: Some(Observation { results: vec![result] }),
            metrics: None,
            is_copied_context: None,
            llm_call_count: None,
            extra: Map::new(),
        });
    }

    fn bash(&mut self, command: &str, observed: &str, fine: bool) {
        self.call("bash", json!({ "command": command }), observed, fine);
    }

    fn edit(&mut self, path: &str, round: usize) {
        let arguments = json!({ "path": path, "old_str": "...", "new_str": round.to_string() });
        self.call("edit", arguments, "ok", true);
    }

    fn tests(&mut self, seen: Option<Seen>) {
        let (failed, passed) = seen.unwrap_or_default();
        let said = match failed {
            0 => format!("==== {passed} passed in 0.5s ===="),
            _ => format!("==== {failed} failed, {passed} passed in 0.5s ===="),
        };
        self.bash("python -m pytest -q", &said, failed == 0);
    }

    fn finish(self, exit: &str, skill: f64) -> Trajectory {
        let count = self.steps.len() as u64;
        let mut extra = Map::new();
        extra.insert("exit".to_owned(), Value::from(exit));
        extra.insert("simulated".to_owned(), Value::from(true));
        extra.insert("skill".to_owned(), Value::from(skill));
        Trajectory {
            schema_version: SCHEMA_VERSION.to_owned(),
            session_id: None,
            trajectory_id: None,
            agent: AgentInfo {
                name: "simulated".to_owned(),
                version: "1".to_owned(),
                model_name: None,
                tool_definitions: Vec::new(),
                extra: Map::new(),
            },
            notes: Some("Simulated: nobody did this.".to_owned()),
            final_metrics: Some(FinalMetrics {
                total_prompt_tokens: Some(TOKENS * count),
                total_completion_tokens: Some(200 * count),
                total_steps: Some(count),
                ..FinalMetrics::default()
            }),
            steps: self.steps,
            extra,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Known> {
        let one = |name: &str, right, failed| Known {
            name: name.to_owned(),
            patch: name.as_bytes().to_vec(),
            right,
            failed,
        };
        vec![one("gold", true, 0), one("m1", false, 1), one("m2", false, 5)]
    }

    #[test]
    fn one_seed_makes_the_same_attempts_and_skill_shows() {
        let all = |seed| {
            let tasks = (0..400).map(|i| format!("t{i}"));
            tasks.flat_map(|task| intents(&task, &known(), 8, seed)).collect::<Vec<_>>()
        };
        assert_eq!(format!("{:?}", all(1)), format!("{:?}", all(1)));
        assert_ne!(format!("{:?}", all(1)), format!("{:?}", all(2)));
        let share = |skill: f64| {
            let own: Vec<Intent> = all(3).into_iter().filter(|i| i.skill == skill).collect();
            own.iter().filter(|i| i.first == 0).count() as f64 / own.len() as f64
        };
        assert!(share(0.2) < share(0.4) && share(0.4) < share(0.6) && share(0.6) < share(0.8));
    }

    #[test]
    fn trajectories_are_valid_and_say_that_they_are_simulated() {
        for intent in intents("t", &known(), 8, 5) {
            let paths = ["a/b.py".to_owned()];
            let trajectory = intent.trajectory(&paths, [Some((1, 2)), Some((0, 3))]);
            assert_eq!(trajectory.problems(), Vec::<String>::new());
            assert_eq!(trajectory.extra["simulated"], true);
        }
    }
}
