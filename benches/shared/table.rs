//! A table of those that are compared.

use crate::shared::window::Window;

/// A column behind the rates.
pub(crate) struct Column {
    pub(crate) head: &'static str,
    /// Says something of all windows of a row.
    pub(crate) cell: fn(&[Window]) -> String,
}

/// The processor time of a message.
pub(crate) const CPU: Column = Column {
    head: "us CPU",
    cell: |windows| format!("{:.3}", median(windows, Window::cpu_us)),
};

/// Prints a row for each name and its windows. All are held against each but the last: pairs are the
/// best windows' ratio and the medians'.
pub(crate) fn print(title: &str, names: &[&str], windows: &[Vec<Window>], columns: &[Column]) {
    let rates: Vec<_> = windows.iter().map(|windows| Rates::of(windows)).collect();
    let others = names.len().saturating_sub(1);
    let mut head = vec![String::new(), "best/s".into(), "median/s".into()];
    head.extend(names[..others].iter().map(|name| format!("of {name}")));
    head.extend(columns.iter().map(|column| column.head.into()));
    let mut lines = vec![head];
    for ((name, windows), own) in names.iter().zip(windows).zip(&rates) {
        let (best, median) = (format!("{:.0}", own.best), format!("{:.0}", own.median));
        let mut line = vec![(*name).to_owned(), best, median];
        line.extend(rates[..others].iter().map(|other| own.relative_to(other)));
        line.extend(columns.iter().map(|column| (column.cell)(windows)));
        lines.push(line);
    }
    println!("\n{title}");
    lines.iter().for_each(|line| print_line(line, &lines));
}

/// Prints one of the lines, with columns as wide as all need.
fn print_line(line: &[String], lines: &[Vec<String>]) {
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max();
    for (column, cell) in line.iter().enumerate() {
        let width = width(column).unwrap_or_default();
        match column {
            0 => print!("{cell:<width$}"),
            _ => print!("  {cell:>width$}"),
        }
    }
    println!();
}

/// What is counted a second, over the windows of one row.
struct Rates {
    best: f64,
    median: f64,
}

impl Rates {
    fn of(windows: &[Window]) -> Self {
        Self {
            best: windows.iter().map(Window::rate).fold(0.0, f64::max),
            median: median(windows, Window::rate),
        }
    }

    fn relative_to(&self, other: &Self) -> String {
        let (best, median) = (self.best / other.best, self.median / other.median);
        format!("{best:.2}  {median:.2}")
    }
}

pub(crate) fn median(windows: &[Window], value: fn(&Window) -> f64) -> f64 {
    let mut values: Vec<_> = windows.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
