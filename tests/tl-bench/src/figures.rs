use std::fmt;

/// What was measured, in the order of measuring; each figure once for every run.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    figures: Vec<(String, Vec<f64>)>,
}

impl Figures {
    /// Writes a figure down.
    pub(crate) fn note(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        match self.figures.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => self.figures.push((name, vec![value])),
        }
    }

    /// Writes the middle and the slow end of many durations down, in microseconds.
    pub(crate) fn note_latencies(&mut self, name: &str, mut micros: Vec<u32>) {
        micros.sort_unstable();
        for (label, below) in [("p50", 0.50), ("p99", 0.99)] {
            self.note(format!("{name}, {label}, µs"), place(&micros, below));
        }
    }

    /// All figures, with what each run has measured.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.figures.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// Adds another run.
    pub(crate) fn add(&mut self, run: Self) {
        for (name, values) in run.figures {
            for value in values {
                self.note(name.clone(), value);
            }
        }
    }
}

/// What such a share of many durations is below, in microseconds.
pub(crate) fn share(micros: &[u32], below: f64) -> f64 {
    let mut micros = micros.to_vec();
    micros.sort_unstable();
    place(&micros, below)
}

fn place(sorted: &[u32], below: f64) -> f64 {
    let place = (sorted.len() as f64 * below) as usize;
    sorted.get(place).copied().map_or(f64::NAN, f64::from)
}

/// A table with the median of the runs, the least and the most.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | median | least | most |\n| --- | ---: | ---: | ---: |")?;
        for (name, values) in &self.figures {
            let mut values = values.clone();
            values.sort_by(f64::total_cmp);
            let [least, most] = [0, values.len() - 1].map(|place| readable(values[place]));
            writeln!(f, "| {name} | {} | {least} | {most} |", readable(values[values.len() / 2]))?;
        }
        Ok(())
    }
}

/// Three digits are as much as a noisy machine can tell.
pub(crate) fn readable(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return value.to_string();
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    let unit = 10_f64.powi(-digits);
    let rounded = (value / unit).round() * unit;
    let text = format!("{rounded:.*}", usize::try_from(digits).unwrap_or(0));
    match text.contains('.') {
        true => text,
        false => with_commas(&text),
    }
}

fn with_commas(digits: &str) -> String {
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}
