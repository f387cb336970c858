//! Bars in SVG, for what was reported: the median, and a whisker from the least to the most.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use crate::figures;
use crate::report::{Figure, Report};

/// Draws each benchmark of these reports into a file of the directory. Several reports stand beside
/// each other.
pub(crate) fn draw(directory: &Path, files: &[String]) -> io::Result<Vec<PathBuf>> {
    let reports = files.iter().map(|file| Report::read(file.as_ref()));
    let reports = reports.collect::<io::Result<Vec<_>>>()?;
    std::fs::create_dir_all(directory)?;
    let mut names = Vec::new();
    for bench in reports.iter().flat_map(|report| &report.benches) {
        if !names.contains(&&bench.name) {
            names.push(&bench.name);
        }
    }
    let mut drawn = Vec::new();
    for name in names {
        let file = directory.join(format!("{name}.svg"));
        std::fs::write(&file, Plot::of(name, &reports).svg())?;
        drawn.push(file);
    }
    Ok(drawn)
}

/// One benchmark of several reports.
#[derive(Default)]
struct Plot {
    title: String,
    reports: Vec<String>,
    groups: Vec<Group>,
}

/// Figures that can be compared: they share a scale.
struct Group {
    name: String,
    rows: Vec<Row>,
}

/// A figure, as the reports have it.
struct Row {
    name: String,
    figures: Vec<Option<Figure>>,
}

impl Plot {
    fn of(name: &str, reports: &[Report]) -> Self {
        let mut plot = Self::default();
        for (number, report) in reports.iter().enumerate() {
            plot.reports.push(format!("{} ({}, {})", report.date, report.commit, report.machine));
            let Some(bench) = report.benches.iter().find(|bench| bench.name == name) else {
                continue;
            };
            plot.title = format!("{name}: {}", bench.what);
            for figure in &bench.figures {
                let row = plot.row_for(figure);
                row.figures.resize(number, None);
                row.figures.push(Some(figure.clone()));
            }
        }
        plot
    }

    /// Figures of one unit, or of which the same is said at the end, belong together; not so what a core
    /// does for an event and what somebody waits for it, which are thousands apart.
    fn row_for(&mut self, figure: &Figure) -> &mut Row {
        let (group, name) = match (&figure.unit, figure.name.rsplit_once(": ")) {
            (Some(_), _) if figure.name.contains(PROCESSOR_TIME) => {
                (PROCESSOR_TIME, figure.name.as_str())
            }
            (Some(unit), _) => (unit.as_str(), figure.name.as_str()),
            (None, Some((name, what))) => (what, name),
            (None, None) => (figure.name.as_str(), ""),
        };
        let group = find_or_push(
            &mut self.groups,
            |it| it.name == group,
            || Group { name: group.to_owned(), rows: Vec::new() },
        );
        find_or_push(
            &mut group.rows,
            |it| it.name == name,
            || Row { name: name.to_owned(), figures: Vec::new() },
        )
    }

    fn svg(&self) -> String {
        let mut drawing = Drawing::default();
        drawing.text(MARGIN, "font-weight=\"bold\"", &self.title);
        for (number, report) in self.reports.iter().enumerate() {
            drawing.square(number);
            drawing.text(MARGIN + SQUARE, "fill=\"#555\"", report);
        }
        for group in &self.groups {
            drawing.group(group);
        }
        drawing.finish()
    }
}

fn find_or_push<T>(
    list: &mut Vec<T>,
    is_it: impl Fn(&T) -> bool,
    new: impl FnOnce() -> T,
) -> &mut T {
    let place = list.iter().position(is_it).unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    });
    &mut list[place]
}

/// What has been drawn, from the top.
#[derive(Default)]
struct Drawing {
    shapes: String,
    y: f64,
}

impl Drawing {
    fn group(&mut self, group: &Group) {
        self.y += LINE / 2.0;
        self.text(MARGIN, "font-weight=\"bold\"", &group.name);
        let figures = group.rows.iter().flat_map(|row| row.figures.iter().flatten());
        let most = figures.map(|figure| figure.most).fold(f64::MIN_POSITIVE, f64::max);
        for row in &group.rows {
            for (number, figure) in row.figures.iter().enumerate() {
                if let Some(figure) = figure {
                    self.bar(figure, most, COLORS[number % COLORS.len()]);
                }
            }
            // Beside the first bar.
            let drawn = row.figures.iter().flatten().count() as f64;
            self.y -= LINE * drawn;
            self.text(MARGIN, "", &row.name);
            self.y += LINE * (drawn - 1.0);
        }
    }

    fn bar(&mut self, figure: &Figure, most: f64, color: &str) {
        let x = |value: f64| BARS + BARS_WIDTH * (value / most).clamp(0.0, 1.0);
        let (top, middle) = (self.y + 4.0, self.y + LINE / 2.0);
        let (width, height) = (x(figure.median) - BARS, LINE - 8.0);
        let _ = writeln!(
            self.shapes,
            "<rect x=\"{BARS}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{color}\"/>"
        );
        let (least, end) = (x(figure.least), x(figure.most));
        let (above, below) = (middle - 4.0, middle + 4.0);
        let _ = writeln!(
            self.shapes,
            "<path d=\"M{least:.1} {above:.1}V{below:.1}M{least:.1} {middle:.1}H{end:.1}\
             M{end:.1} {above:.1}V{below:.1}\" stroke=\"#222\" fill=\"none\"/>"
        );
        self.text(end + 8.0, "", &figures::readable(figure.median));
    }

    fn square(&mut self, number: usize) {
        let (color, top) = (COLORS[number % COLORS.len()], self.y + 5.0);
        let _ = writeln!(
            self.shapes,
            "<rect x=\"{MARGIN}\" y=\"{top:.1}\" width=\"10\" height=\"10\" fill=\"{color}\"/>"
        );
    }

    /// A line of text, after which the next begins.
    fn text(&mut self, x: f64, style: &str, text: &str) {
        let base = self.y + LINE - 6.0;
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(self.shapes, "<text x=\"{x:.1}\" y=\"{base:.1}\" {style}>{text}</text>");
        self.y += LINE;
    }

    /// The background is white wherever the drawing is shown.
    fn finish(self) -> String {
        let (shapes, height) = (self.shapes, self.y + LINE);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" \
             fill=\"#222\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{shapes}</svg>\n"
        )
    }
}

const PROCESSOR_TIME: &str = "processor time";
const WIDTH: f64 = 1_000.0;
const MARGIN: f64 = 16.0;
const SQUARE: f64 = 16.0;
const LINE: f64 = 20.0;
/// Where bars begin: behind the longest name.
const BARS: f64 = 470.0;
/// Leaves room for a number.
const BARS_WIDTH: f64 = 420.0;
/// One for each report; they can be told apart by the colour-blind, too (Okabe and Ito).
const COLORS: &[&str] = &["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];
