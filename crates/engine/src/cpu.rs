//! Processor time of this program.

/// Ticks of `/proc/self/stat` in a second; Linux tells user space this number everywhere.
const TICKS: f64 = 100.0;

/// Seconds of processor time that this process has used so far, without those that it started.
/// Zero where `/proc` cannot be read.
pub(crate) fn own() -> f64 {
    let text = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program stands in parentheses, and may hold anything.
    let Some((_, rest)) = text.rsplit_once(')') else { return 0.0 };
    let words = rest.split_ascii_whitespace().skip(11).take(2);
    words.filter_map(|word| word.parse::<u64>().ok()).sum::<u64>() as f64 / TICKS
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn what_is_used_is_counted() {
        let before = own();
        let mut sum = 0u64;
        while own() - before < 0.05 {
            for _ in 0..100_000 {
                sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
            }
        }
        assert!(own() > before, "{sum}");
    }
}
