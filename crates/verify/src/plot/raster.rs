//! PNG by tiny-skia, with the letters drawn as strokes.

use tiny_skia::{
    FillRule, LineCap, LineJoin, Paint, PathBuilder, Pixmap, Stroke, StrokeDash, Transform,
};

use super::{Anchor, BLACK, Canvas, Colour, font};
use crate::error::{Result, VerifyError};

/// Pixels to a unit, for screens of today.
const SCALE: f32 = 2.0;

pub(super) struct Raster {
    pixels: Pixmap,
    name: String,
}

impl Raster {
    pub(super) fn new(width: f64, height: f64, name: &str) -> Result<Self> {
        let size = |units: f64| (units as f32 * SCALE) as u32;
        let name = name.to_owned();
        let Some(mut pixels) = Pixmap::new(size(width), size(height)) else {
            return Err(VerifyError::Plot(name, "it has no area".to_owned()));
        };
        pixels.fill(tiny_skia::Color::WHITE);
        Ok(Self { pixels, name })
    }

    pub(super) fn finish(self) -> Result<Vec<u8>> {
        let Self { pixels, name } = self;
        pixels.encode_png().map_err(|error| VerifyError::Plot(name, error.to_string()))
    }

    fn stroke(&mut self, path: PathBuilder, colour: Colour, width: f64, dashed: bool) {
        let Some(path) = path.finish() else { return };
        let stroke = Stroke {
            width: width as f32,
            line_cap: if dashed { LineCap::Butt } else { LineCap::Round },
            line_join: LineJoin::Round,
            dash: dashed.then(|| StrokeDash::new(vec![7.0, 5.0], 0.0)).flatten(),
            ..Stroke::default()
        };
        let scale = Transform::from_scale(SCALE, SCALE);
        self.pixels.stroke_path(&path, &paint(colour, 1.0), &stroke, scale, None);
    }
}

fn paint(colour: Colour, opacity: f64) -> Paint<'static> {
    let mut paint = Paint::default();
    let [r, g, b] = colour;
    paint.set_color_rgba8(r, g, b, (opacity * 255.0) as u8);
    paint.anti_alias = true;
    paint
}

fn path(points: &[(f64, f64)]) -> PathBuilder {
    let mut path = PathBuilder::new();
    for (place, (x, y)) in points.iter().enumerate() {
        let (x, y) = (*x as f32, *y as f32);
        if place == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
    }
    path
}

impl Canvas for Raster {
    fn line(&mut self, points: &[(f64, f64)], colour: Colour, width: f64, dashed: bool) {
        self.stroke(path(points), colour, width, dashed);
    }

    fn area(&mut self, points: &[(f64, f64)], colour: Colour, opacity: f64) {
        let mut path = path(points);
        path.close();
        let Some(path) = path.finish() else { return };
        let scale = Transform::from_scale(SCALE, SCALE);
        self.pixels.fill_path(&path, &paint(colour, opacity), FillRule::Winding, scale, None);
    }

    fn text(&mut self, at: (f64, f64), size: f64, anchor: Anchor, text: &str, upwards: bool) {
        let width = font::width(text, size);
        let from = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -width / 2.0,
            Anchor::End => -width,
        };
        let mut letters = PathBuilder::new();
        for stroke in font::strokes(text, size) {
            for (place, (x, y)) in stroke.iter().enumerate() {
                let (x, y) = (x + from, *y);
                let (x, y) = if upwards { (at.0 + y, at.1 - x) } else { (at.0 + x, at.1 + y) };
                let (x, y) = (x as f32, y as f32);
                if place == 0 { letters.move_to(x, y) } else { letters.line_to(x, y) }
            }
        }
        self.stroke(letters, BLACK, size / 11.0, false);
    }
}
