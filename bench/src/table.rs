//! The comparison as one table.

use comfy_table::{Cell, CellAlignment, Table, presets::ASCII_MARKDOWN};

use crate::{Output, extras::Extra, matrix::Row};

/// Prints both tables, in Markdown.
pub fn print(rows: &[Row], extras: &[Extra]) {
    let heads = [
        "era",
        "result",
        "c",
        "target",
        "calls/s",
        "p50 µs",
        "p99 µs",
        "CPU µs/call",
        "RSS MiB",
        "peak MiB",
    ];
    let mut table = markdown(&heads);
    for row in rows {
        let figures = &row.figures;
        let mut cells = vec![
            Cell::new(row.era),
            Cell::new(&row.payload),
            Cell::new(row.concurrency).set_alignment(CellAlignment::Right),
            Cell::new(&row.target),
        ];
        let mib = |kib: u64| format!("{}", kib.div_ceil(1024));
        let numbers = [
            format!("{:.0}", figures.rps),
            format!("{:.0}", figures.p50_us),
            format!("{:.0}", figures.p99_us),
            format!("{:.1}", figures.cpu_us),
            mib(figures.rss_kib),
            mib(figures.peak_kib),
        ];
        cells.extend(
            numbers.iter().map(|number| Cell::new(number).set_alignment(CellAlignment::Right)),
        );
        table.add_row(cells);
    }
    if !rows.is_empty() {
        println!("{table}\n");
    }
    if extras.is_empty() {
        return;
    }
    let mut table = markdown(&["what", "figure", "unit", "budget"]);
    for extra in extras {
        let figure = Cell::new(format!("{:.1}", extra.figure)).set_alignment(CellAlignment::Right);
        table.add_row(vec![
            Cell::new(&extra.what),
            figure,
            Cell::new(extra.unit),
            Cell::new(extra.budget),
        ]);
    }
    println!("{table}");
}

/// Prints what is no comparison of gateways: a table, or an object with the rows.
pub fn show(output: Output, rows: &[Extra]) {
    match output {
        Output::Json => println!("{}", serde_json::json!({ "rows": rows })),
        Output::Table => print(&[], rows),
    }
}

fn markdown(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(heads.iter().copied());
    table
}
