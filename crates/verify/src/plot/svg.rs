//! SVG, by hand.

use super::{Anchor, Canvas, Colour};

pub(super) struct Svg(String);

impl Svg {
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"sans-serif\">\n\
             <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
            escaped(title)
        ))
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

impl Canvas for Svg {
    fn line(&mut self, points: &[(f64, f64)], colour: Colour, width: f64, dashed: bool) {
        let dash = if dashed { " stroke-dasharray=\"7 5\"" } else { "" };
        self.0.push_str(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"{dash}/>\n",
            list(points),
            hex(colour)
        ));
    }

    fn area(&mut self, points: &[(f64, f64)], colour: Colour, opacity: f64) {
        self.0.push_str(&format!(
            "<polygon points=\"{}\" fill=\"{}\" fill-opacity=\"{opacity}\"/>\n",
            list(points),
            hex(colour)
        ));
    }

    fn text(&mut self, at: (f64, f64), size: f64, anchor: Anchor, text: &str, upwards: bool) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let turn = match upwards {
            true => format!(" transform=\"rotate(-90 {:.1} {:.1})\"", at.0, at.1),
            false => String::new(),
        };
        self.0.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\"{turn}>{}\
             </text>\n",
            at.0,
            at.1,
            escaped(text)
        ));
    }
}

fn list(points: &[(f64, f64)]) -> String {
    points.iter().map(|p| format!("{:.1},{:.1}", p.0, p.1)).collect::<Vec<_>>().join(" ")
}

fn hex([r, g, b]: Colour) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
