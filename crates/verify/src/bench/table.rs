//! The report in words and columns.

use std::fmt::Write;

use super::report::{BenchReport, Comparison, Point};

impl BenchReport {
    /// Tables for people, as Markdown. Shares are in percent.
    pub fn tables(&self) -> String {
        let mut out = String::new();
        let _ = self.write_all(&mut out);
        out
    }

    fn write_all(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "{} attempts at {} tasks, {} of them right. {} tasks have right and wrong attempts: only \
             there can a choice matter. Left out: {} invalid attempts, {} tasks without a valid one. \
             Intervals: {} %, {} resamples of the tasks, seed {}.",
            self.attempts,
            self.tasks,
            self.right,
            self.tasks_that_matter,
            self.invalid,
            self.tasks_without_attempt,
            (self.level * 1000.0).round() / 10.0,
            self.resamples,
            self.seed
        )?;
        self.write_best(out)?;
        self.write_comparisons(out)?;
        self.write_scores(out)?;
        if let Some(tests) = &self.tests {
            writeln!(
                out,
                "\nGenerated tests: {} at {} tasks; {} distinguish, {} are toxic (mean over tasks).",
                tests.tests,
                tests.tasks,
                percent(tests.distinguish),
                percent(tests.toxic)
            )?;
        }
        self.write_stops(out)?;
        for skipped in &self.skipped {
            writeln!(out, "\n{} was left out: {}.", skipped.name, skipped.why)?;
        }
        Ok(())
    }

    fn write_best(&self, out: &mut String) -> std::fmt::Result {
        let ks: Vec<usize> = self.random.iter().map(|point| point.k).collect();
        let last = ks.last().copied().unwrap_or_default();
        let shown: Vec<usize> =
            ks.into_iter().filter(|k| k.is_power_of_two() || *k == last).collect();
        let heads: Vec<String> = shown.iter().map(|k| format!(" best@{k} |")).collect();
        writeln!(out, "\n| |{}", heads.concat())?;
        writeln!(out, "|---|{}", "---:|".repeat(shown.len()))?;
        let lines = self.cascades.iter().map(|c| (c.name.as_str(), &c.best_at));
        let all = [("random", &self.random)].into_iter().chain(lines);
        for (name, points) in all.chain([("oracle (pass@k)", &self.oracle)]) {
            let cell = |k: &usize| match points.iter().find(|point| point.k == *k) {
                Some(p) => format!(" {} |", interval(p)),
                None => " |".to_owned(),
            };
            writeln!(out, "| {name} |{}", shown.iter().map(cell).collect::<String>())?;
        }
        for (k, tasks) in self.short.iter().filter(|(k, _)| shown.contains(k)) {
            writeln!(out, "\n{tasks} tasks have fewer than {k} attempts; all are taken there.")?;
        }
        Ok(())
    }

    fn write_comparisons(&self, out: &mut String) -> std::fmt::Result {
        if self.comparisons.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n| | against | difference | tasks ahead | behind | |")?;
        writeln!(out, "|---|---|---:|---:|---:|---|")?;
        for c in &self.comparisons {
            let says = if c.proven { "better" } else { "not shown" };
            let difference = interval(&c.difference);
            let (one, other) = (&c.better, &c.than);
            writeln!(
                out,
                "| {one} | {other} | {difference} | {} | {} | {says} |",
                c.ahead, c.behind
            )?;
        }
        for line in self.plainly() {
            writeln!(out, "\n{line}")?;
        }
        Ok(())
    }

    /// For each cascade of both kinds of scores, in a sentence: whether it beats every cascade of one
    /// kind.
    pub fn plainly(&self) -> Vec<String> {
        let pairs: Vec<_> = self.comparisons.iter().filter(|c| c.than != "random").collect();
        let of_one_cascade = pairs.chunk_by(|a, b| a.better == b.better);
        of_one_cascade.map(|own| self.sentence(own)).collect()
    }

    fn sentence(&self, own: &[&Comparison]) -> String {
        let name = own.first().map(|c| c.better.as_str()).unwrap_or_default();
        let not_shown = own.iter().filter(|c| !c.proven).map(|c| format!("`{}`", c.than));
        let not_shown: Vec<String> = not_shown.collect();
        let least = own.iter().map(|c| &c.difference).min_by(|a, b| a.mean.total_cmp(&b.mean));
        let least = least.map(interval).unwrap_or_default();
        let tasks = self.tasks;
        match not_shown.is_empty() {
            true => format!(
                "`{name}` beats every verifier of one kind on {tasks} tasks, by at least {least} points."
            ),
            false => format!(
                "`{name}` is not shown to beat {} on {tasks} tasks; the smallest difference is {least} \
                 points.",
                not_shown.join(", ")
            ),
        }
    }

    fn write_scores(&self, out: &mut String) -> std::fmt::Result {
        if self.scores.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n| score | AUC | within tasks | ECE | Brier | log loss | unscorable |")?;
        writeln!(out, "|---|---:|---:|---:|---:|---:|---:|")?;
        for (name, e) in &self.scores {
            writeln!(
                out,
                "| {name} | {} | {} | {} | {} | {} | {} |",
                number(e.auc),
                number(e.auc_within_tasks),
                number(e.ece),
                number(e.brier),
                number(e.log_loss),
                e.unscorable
            )?;
        }
        Ok(())
    }

    fn write_stops(&self, out: &mut String) -> std::fmt::Result {
        if self.stops.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n| stop at | resolved | attempts | tokens | usd |")?;
        writeln!(out, "|---|---:|---:|---:|---:|")?;
        for stop in &self.stops {
            writeln!(
                out,
                "| {} {} | {} | {:.2} | {:.0} | {:.4} |",
                stop.by,
                stop.threshold,
                percent(stop.resolved),
                stop.attempts,
                stop.tokens,
                stop.usd
            )?;
        }
        Ok(())
    }
}

fn interval(point: &Point) -> String {
    let of = |value: f64| format!("{:.1}", 100.0 * value);
    format!("{} [{}, {}]", of(point.mean), of(point.low), of(point.high))
}

fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.3}"))
}
