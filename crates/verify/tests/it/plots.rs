//! Plots are made, of anything.

use palestra_verify::{Figure, Series};

fn figure(points: Vec<(f64, f64)>) -> Figure {
    let band = points.iter().map(|p| (p.1 - 1.0, p.1 + 1.0)).collect();
    let dashed = Series { name: "b".into(), points: points.clone(), band: vec![], dashed: true };
    Figure {
        name: "plot".into(),
        title: "a < b & c".into(),
        x: "x".into(),
        y: "y, %".into(),
        series: vec![Series { name: "a".into(), points, band, dashed: false }, dashed],
    }
}

#[test]
fn svg_and_png_of_anything() {
    for points in [
        vec![(1.0, 20.0), (2.0, 30.0), (26.0, 51.0)],
        vec![(1.0, 0.0)],
        vec![],
        vec![(f64::NAN, 1.0), (1.0, f64::INFINITY), (2.0, 3.0)],
        vec![(0.0, 1e-9), (1e12, 2e-9)],
        vec![(1.0, 5.0); 3],
    ] {
        let figure = figure(points);
        let svg = figure.svg();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &lt; b &amp; c") && !svg.contains("NaN") && !svg.contains("inf"));
        let png = figure.png().unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.len() > 1000);
        assert_eq!(figure.svg(), svg);
        assert_eq!(figure.png().unwrap(), png);
    }
}
