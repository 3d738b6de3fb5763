//! The report as plots.

use std::collections::BTreeSet;

use super::report::{BenchReport, Point};
use crate::plot::{Figure, Series};

impl BenchReport {
    /// best@k, and results over each cost that occurs.
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![self.best_figure()];
        let units: BTreeSet<&str> = self.curves.iter().map(|curve| curve.unit.as_str()).collect();
        for unit in units.into_iter().filter(|unit| *unit != "attempts") {
            let curves = self.curves.iter().filter(|curve| curve.unit == unit);
            let series = curves.map(|curve| Series {
                name: curve.name.clone(),
                points: curve.points.iter().map(|(x, y)| (*x, 100.0 * y)).collect(),
                band: Vec::new(),
                dashed: is_reference(&curve.name),
            });
            figures.push(Figure {
                name: format!("resolved-by-{unit}"),
                title: format!("Resolved tasks by {unit} spent on each"),
                x: format!("{unit} per task"),
                y: "resolved, %".to_owned(),
                series: series.collect(),
            });
        }
        if !self.stops.is_empty() {
            figures.push(self.stop_figure());
        }
        figures
    }

    fn best_figure(&self) -> Figure {
        let line = |name: &str, points: &[Point], band: bool| Series {
            name: name.to_owned(),
            points: points.iter().map(|p| (p.k as f64, 100.0 * p.mean)).collect(),
            band: match band {
                true => points.iter().map(|p| (100.0 * p.low, 100.0 * p.high)).collect(),
                false => Vec::new(),
            },
            dashed: is_reference(name),
        };
        let mut series = vec![];
        // Bands of all would hide each other.
        let banded = |name: &str| name == "ours" || self.cascades.len() == 1;
        for cascade in &self.cascades {
            series.push(line(&cascade.name, &cascade.best_at, banded(&cascade.name)));
        }
        series.push(line("random", &self.random, false));
        series.push(line("oracle", &self.oracle, false));
        Figure {
            name: "best-at-k".to_owned(),
            title: format!("best@k on {} tasks", self.tasks),
            x: "attempts (k)".to_owned(),
            y: "resolved, %".to_owned(),
            series,
        }
    }

    fn stop_figure(&self) -> Figure {
        let names: BTreeSet<&str> = self.stops.iter().map(|stop| stop.by.as_str()).collect();
        let stops = names.into_iter().map(|by| {
            let own = self.stops.iter().filter(|stop| stop.by == by);
            let mut points: Vec<(f64, f64)> =
                own.map(|stop| (stop.attempts, 100.0 * stop.resolved)).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Series { name: format!("stop by {by}"), points, ..Series::default() }
        });
        let mut series: Vec<Series> = stops.collect();
        for name in ["ours", "random", "oracle"] {
            let curve = self.curves.iter().find(|c| c.name == name && c.unit == "attempts");
            let Some(curve) = curve else { continue };
            series.push(Series {
                name: name.to_owned(),
                points: curve.points.iter().map(|(x, y)| (*x, 100.0 * y)).collect(),
                band: Vec::new(),
                dashed: is_reference(name),
            });
        }
        Figure {
            name: "early-stop".to_owned(),
            title: "Stopping early".to_owned(),
            x: "attempts per task".to_owned(),
            y: "resolved, %".to_owned(),
            series,
        }
    }
}

fn is_reference(name: &str) -> bool {
    matches!(name, "random" | "oracle")
}
