//! Plots as SVG and PNG, made without a font of the system, a browser or a server.

mod font;
mod raster;
mod svg;

use crate::error::Result;

/// A colour: red, green, blue.
pub(crate) type Colour = [u8; 3];

/// Colours that people with any kind of sight tell apart (Okabe and Ito), and two more.
const COLOURS: [Colour; 8] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [120, 94, 240],
    [139, 69, 19],
];
/// Of dashed lines.
const GREYS: [Colour; 2] = [[150, 150, 150], [30, 30, 30]];
const BLACK: Colour = [30, 30, 30];
const GREY: Colour = [222, 222, 222];

/// One line of a plot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
    /// Lower and upper ends at each point, or nothing.
    pub band: Vec<(f64, f64)>,
    /// Whether it is dashed, as lines to compare with are.
    pub dashed: bool,
}

/// A plot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figure {
    /// Its name, good for a file.
    pub name: String,
    /// What stands above it.
    pub title: String,
    /// What is to the right.
    pub x: String,
    /// What is upwards.
    pub y: String,
    /// The lines.
    pub series: Vec<Series>,
}

/// Where text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// What can be drawn on.
pub(crate) trait Canvas {
    fn line(&mut self, points: &[(f64, f64)], colour: Colour, width: f64, dashed: bool);
    fn area(&mut self, points: &[(f64, f64)], colour: Colour, opacity: f64);
    fn text(&mut self, at: (f64, f64), size: f64, anchor: Anchor, text: &str, upwards: bool);
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 560.0;
/// Left, right, top, bottom of what is plotted.
const FRAME: (f64, f64, f64, f64) = (80.0, 710.0, 50.0, 490.0);
const TEXT: f64 = 14.0;

impl Figure {
    /// As SVG.
    pub fn svg(&self) -> String {
        let mut canvas = svg::Svg::new(WIDTH, HEIGHT, &self.title);
        self.draw(&mut canvas);
        canvas.finish()
    }

    /// As PNG.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut canvas = raster::Raster::new(WIDTH, HEIGHT, &self.name)?;
        self.draw(&mut canvas);
        canvas.finish()
    }

    /// The colour of each series.
    fn colours(&self) -> Vec<Colour> {
        let (mut plain, mut dashed) = (COLOURS.iter().cycle(), GREYS.iter().cycle());
        let colour = |series: &Series| match series.dashed {
            true => dashed.next().copied(),
            false => plain.next().copied(),
        };
        self.series.iter().map(colour).map(Option::unwrap_or_default).collect()
    }

    fn draw(&self, canvas: &mut dyn Canvas) {
        let (left, right, top, bottom) = FRAME;
        let values = || self.series.iter().flat_map(|s| &s.points);
        let bands = || self.series.iter().flat_map(|s| &s.band).flat_map(|b| [b.0, b.1]);
        let (x_ticks, x_range) = ticks(values().map(|p| p.0), 9);
        let (y_ticks, y_range) = ticks(values().map(|p| p.1).chain(bands()), 7);
        let x = |v: f64| left + (v - x_range.0) / (x_range.1 - x_range.0) * (right - left);
        let y = |v: f64| bottom - (v - y_range.0) / (y_range.1 - y_range.0) * (bottom - top);
        canvas.text(((left + right) / 2.0, 28.0), 18.0, Anchor::Middle, &self.title, false);
        for tick in &y_ticks {
            canvas.line(&[(left, y(*tick)), (right, y(*tick))], GREY, 1.0, false);
            let at = (left - 8.0, y(*tick) + 5.0);
            canvas.text(at, TEXT, Anchor::End, &number(*tick, &y_ticks), false);
        }
        for tick in &x_ticks {
            canvas.line(&[(x(*tick), bottom), (x(*tick), bottom + 5.0)], BLACK, 1.0, false);
            let at = (x(*tick), bottom + 22.0);
            canvas.text(at, TEXT, Anchor::Middle, &number(*tick, &x_ticks), false);
        }
        canvas.line(&[(left, top), (left, bottom), (right, bottom)], BLACK, 1.0, false);
        canvas.text(((left + right) / 2.0, bottom + 48.0), TEXT, Anchor::Middle, &self.x, false);
        canvas.text((22.0, (top + bottom) / 2.0), TEXT, Anchor::Middle, &self.y, true);
        let drawn = |p: &(f64, f64)| p.0.is_finite() && p.1.is_finite();
        let colours = self.colours();
        for (series, colour) in self.series.iter().zip(&colours) {
            if series.band.len() == series.points.len() && !series.band.is_empty() {
                let both = || series.points.iter().zip(&series.band);
                let upper = both().map(|(p, b)| (x(p.0), y(b.1)));
                let lower = both().rev().map(|(p, b)| (x(p.0), y(b.0)));
                let area: Vec<(f64, f64)> = upper.chain(lower).filter(drawn).collect();
                canvas.area(&area, *colour, 0.12);
            }
        }
        for (place, (series, colour)) in self.series.iter().zip(colours).enumerate() {
            let points = series.points.iter().filter(|p| drawn(p));
            let points: Vec<(f64, f64)> = points.map(|p| (x(p.0), y(p.1))).collect();
            canvas.line(&points, colour, 2.2, series.dashed);
            let row = top + 12.0 + 24.0 * place as f64;
            let from = right + 18.0;
            canvas.line(&[(from, row), (from + 28.0, row)], colour, 2.2, series.dashed);
            canvas.text((from + 36.0, row + 5.0), TEXT, Anchor::Start, &series.name, false);
        }
    }
}

/// Round numbers that the values lie between, about so many, and the range of all.
fn ticks(values: impl Iterator<Item = f64>, about: usize) -> (Vec<f64>, (f64, f64)) {
    let known = values.filter(|v| v.is_finite());
    let (low, high) =
        known.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let (low, high) = match low <= high {
        true if high - low > 1e-12 * high.abs().max(1e-300) => (low, high),
        true => (low - 0.5, low + 0.5),
        false => (0.0, 1.0),
    };
    let rough = (high - low) / about as f64;
    let power = 10f64.powf(rough.log10().floor());
    let nice = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|n| n * power >= rough);
    let step = nice.unwrap_or(10.0) * power;
    let (first, last) = ((low / step).floor(), (high / step).ceil());
    let count = ((last - first) as usize).min(50);
    let ticks: Vec<f64> = (0..=count).map(|i| (first + i as f64) * step).collect();
    let range = (first * step, (first + count as f64) * step);
    (ticks, range)
}

/// A number with as many digits as tell it from its neighbours.
fn number(value: f64, of: &[f64]) -> String {
    let step = of.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let most = of.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    let (unit, mark) = match most {
        m if m >= 1e9 => (1e9, "G"),
        m if m >= 1e6 => (1e6, "M"),
        m if m >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let step = step / unit;
    let digits = (0..9).find(|d| {
        let shown = step * 10f64.powi(*d);
        (shown - shown.round()).abs() < 1e-6 * shown.abs().max(1.0) && shown >= 1.0
    });
    let digits = usize::try_from(digits.unwrap_or(2)).unwrap_or(2);
    let value = value / unit;
    format!("{:.digits$}{mark}", if value == 0.0 { 0.0 } else { value })
}
