//! Letters as strokes on a grid, five wide: two digits are a point, x from 0 to 4 and y from 0 (the
//! top of a capital) over 6 (the base line) to 8; points without a space between are one stroke.

const GLYPHS: &[(char, &str)] = &[
    ('A', "062046 1434"),
    ('B', "06003041423303 3344453606"),
    ('C', "4130100105163645"),
    ('D', "00204244260600"),
    ('E', "40000646 0333"),
    ('F', "400006 0333"),
    ('G', "41301001051636454323"),
    ('H', "0006 4046 0343"),
    ('I', "1030 2026 1636"),
    ('J', "4045361605"),
    ('K', "0006 400346"),
    ('L', "000646"),
    ('M', "0600234046"),
    ('N', "06004640"),
    ('O', "103041453616050110"),
    ('P', "06003041423303"),
    ('Q', "103041453616050110 2446"),
    ('R', "06003041423303 2346"),
    ('S', "413010010213334445361605"),
    ('T', "0040 2026"),
    ('U', "000516364540"),
    ('V', "002640"),
    ('W', "0016233640"),
    ('X', "0046 4006"),
    ('Y', "002340 2326"),
    ('Z', "00400646"),
    ('0', "103041453616050110"),
    ('1', "112026 1636"),
    ('2', "01103041420646"),
    ('3', "01103041423313 334445361605"),
    ('4', "36300444"),
    ('5', "4000033344453606"),
    ('6', "30100105163645443303"),
    ('7', "004016"),
    ('8', "103041423313020110 1304051636454433"),
    ('9', "43130201103041453616"),
    ('a', "12324346 441405163645"),
    ('b', "0006 0312324345361605"),
    ('c', "4332120305163645"),
    ('d', "4046 4332120305163645"),
    ('e', "04444332120305163645"),
    ('f', "40302126 0232"),
    ('g', "4332120305163645 4247381807"),
    ('h', "0006 0312324346"),
    ('i', "2226 2020"),
    ('j', "32372818 3030"),
    ('k', "0006 420446"),
    ('l', "202536"),
    ('m', "0206 03122326 23324346"),
    ('n', "0206 0312324346"),
    ('o', "123243453616050312"),
    ('p', "0208 0312324345361605"),
    ('q', "4248 4332120305163645"),
    ('r', "0206 03123243"),
    ('s', "4212031434453606"),
    ('t', "202536 1232"),
    ('u', "0205163645 4246"),
    ('v', "022642"),
    ('w', "0216243642"),
    ('x', "0246 4206"),
    ('y', "0226 4218"),
    ('z', "02420646"),
    ('.', "2626"),
    (',', "2617"),
    (':', "2323 2626"),
    (';', "2323 2617"),
    ('!', "2024 2626"),
    ('?', "01103041422324 2626"),
    ('-', "1434"),
    ('_', "0747"),
    ('+', "0444 2226"),
    ('=', "0343 0545"),
    ('/', "0640"),
    ('\\', "0046"),
    ('(', "30212536"),
    (')', "10212516"),
    ('[', "30101636"),
    (']', "10303616"),
    ('{', "30212312232536"),
    ('}', "10212332232516"),
    ('%', "0010110100 3545463635 4006"),
    ('@', "3433232434 344441301001051646"),
    ('#', "1016 3036 0242 0444"),
    ('*', "1234 3214 2125"),
    ('<', "420446"),
    ('>', "024406"),
    ('\'', "2022"),
    ('"', "1012 3032"),
    ('|', "2027"),
    ('~', "04133443"),
    ('^', "112031"),
    ('`', "1021"),
    ('$', "413010010213334445361605 2026"),
    ('&', "46113021311405163644"),
    (' ', ""),
];

/// Every letter takes so many columns of the grid.
const ADVANCE: f64 = 5.6;
/// Rows from the top of a capital to the base line.
const CAPITAL: f64 = 6.0;

/// Units of a column and of a row at this size.
fn unit(size: f64) -> (f64, f64) {
    (size * 0.105, size * 0.72 / CAPITAL)
}

/// The width of a text.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * ADVANCE * unit(size).0
}

/// The strokes of a text that begins at the origin of the base line.
pub(super) fn strokes(text: &str, size: f64) -> Vec<Vec<(f64, f64)>> {
    let (column, row) = unit(size);
    let mut all = Vec::new();
    for (place, letter) in text.chars().enumerate() {
        let glyph = GLYPHS.iter().find(|(known, _)| *known == letter);
        // A box for what there is no letter for.
        let glyph = glyph.map_or("0040460600", |(_, glyph)| glyph);
        for stroke in glyph.split(' ') {
            let digits: Vec<f64> =
                stroke.chars().filter_map(|c| c.to_digit(10)).map(f64::from).collect();
            let mut points: Vec<(f64, f64)> = digits
                .chunks_exact(2)
                .map(|p| ((p[0] + place as f64 * ADVANCE) * column, (p[1] - CAPITAL) * row))
                .collect();
            // A dot is a line that is too short to see.
            if let [first, second] = points.as_mut_slice()
                && first == second
            {
                second.0 += 0.01;
            }
            if !points.is_empty() {
                all.push(points);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_letter_is_there_and_on_the_grid() {
        for code in 32u8..127 {
            let letter = char::from(code);
            let Some((_, glyph)) = GLYPHS.iter().find(|(known, _)| *known == letter) else {
                panic!("{letter:?} is missing");
            };
            for stroke in glyph.split(' ').filter(|stroke| !stroke.is_empty()) {
                let digits: Vec<u32> = stroke.chars().filter_map(|c| c.to_digit(10)).collect();
                let even = digits.len() == stroke.len() && digits.len().is_multiple_of(2);
                let inside = digits.chunks(2).all(|p| p[0] <= 4 && p[1] <= 8);
                assert!(even && inside && digits.len() >= 4, "{letter:?}: {stroke}");
            }
        }
    }
}
