//! Where the boxes of a graph go: in columns from left to right, each to the right of what it waits for.
//!
//! What enters: how large each box is, and which waits for which. What leaves: a place for each box, and a
//! way for each line. What must never happen here: two boxes that overlap, a line through a box.

use std::collections::BTreeSet;

/// Between two boxes of a column.
const ROW_GAP: f64 = 16.0;
/// Between two lines that pass a column.
const LINE_GAP: f64 = 8.0;
/// Between two columns.
const COLUMN_GAP: f64 = 72.0;
/// How often the order of each column follows that of its neighbours.
const SWEEPS: usize = 12;

/// A box to be placed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// Whether it goes to the right of all that are not.
    pub(crate) last: bool,
}

/// Where a box is: its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// Where everything is.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) boxes: Vec<Place>,
    /// The points that each line goes through: between the first two it crosses a gap, then a column,
    /// and so on. It begins at a box, or where it leaves another line from that box.
    pub(crate) lines: Vec<Vec<Place>>,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// Something in a column: a box, or a line that passes.
struct Cell {
    column: usize,
    height: f64,
    gap: f64,
    middle: f64,
    before: Vec<usize>,
    after: Vec<usize>,
}

/// Places everything.
pub(crate) fn layout(sizes: &[Size], edges: &[(usize, usize)]) -> Layout {
    let columns = columns(sizes, edges);
    let mut cells: Vec<Cell> = sizes
        .iter()
        .zip(&columns)
        .map(|(size, column)| Cell {
            column: *column,
            height: size.height,
            gap: ROW_GAP,
            middle: 0.0,
            before: Vec::new(),
            after: Vec::new(),
        })
        .collect();
    let ways = ways(&mut cells, edges);
    let mut order = order(&cells);
    place(&mut cells, &mut order);
    finish(sizes, &columns, &cells, &ways)
}

/// The column of each box: one more than that of whatever it waits for.
fn columns(sizes: &[Size], edges: &[(usize, usize)]) -> Vec<usize> {
    let mut columns = vec![0_usize; sizes.len()];
    let settle = |columns: &mut Vec<usize>| {
        // A longest way has no more steps than there are boxes, whatever the edges claim.
        for _ in 0..sizes.len() {
            let mut settled = true;
            for &(from, to) in edges {
                if columns[to] <= columns[from] && columns[from] + 1 < 2 * sizes.len() {
                    columns[to] = columns[from] + 1;
                    settled = false;
                }
            }
            if settled {
                break;
            }
        }
    };
    settle(&mut columns);
    let is_last = |index: &usize| sizes[*index].last;
    let others = (0..sizes.len()).filter(|index| !is_last(index));
    if let Some(end) = others.map(|index| columns[index]).max() {
        for index in (0..sizes.len()).filter(is_last) {
            columns[index] = columns[index].max(end + 1);
        }
        settle(&mut columns);
    }
    columns
}

/// Lays the ways of the lines. Lines from one box pass columns together, as a trunk: the way of an edge begins where it
/// leaves what the edges before it have laid, so that a graph whose boxes all wait for each other has no more steps than
/// its edges and columns ask for. Returns the cells that each edge goes through.
fn ways(cells: &mut Vec<Cell>, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    // By box: the cells of its trunk, column by column.
    let mut trunks: Vec<Vec<usize>> = vec![Vec::new(); cells.len()];
    let mut joined: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut ways = Vec::with_capacity(edges.len());
    for &(from, to) in edges {
        let first = cells[from].column + 1;
        let passed = cells[to].column.saturating_sub(first);
        let trunk = &mut trunks[from];
        let mut way = match trunk.len().min(passed) {
            0 => vec![from],
            shared => vec![trunk[shared - 1]],
        };
        while trunk.len() < passed {
            cells.push(Cell {
                column: first + trunk.len(),
                height: 0.0,
                gap: LINE_GAP,
                middle: 0.0,
                before: Vec::new(),
                after: Vec::new(),
            });
            trunk.push(cells.len() - 1);
            way.push(cells.len() - 1);
        }
        way.push(to);
        for pair in way.windows(2) {
            if joined.insert((pair[0], pair[1])) {
                cells[pair[0]].after.push(pair[1]);
                cells[pair[1]].before.push(pair[0]);
            }
        }
        ways.push(way);
    }
    ways
}

/// The cells of each column from top to bottom, so that few lines cross: each is near the middle of
/// those it is joined with.
fn order(cells: &[Cell]) -> Vec<Vec<usize>> {
    let count = cells.iter().map(|cell| cell.column + 1).max().unwrap_or(0);
    let mut order = vec![Vec::new(); count];
    for (index, cell) in cells.iter().enumerate() {
        order[cell.column].push(index);
    }
    let mut rank = vec![0.0_f64; cells.len()];
    let number = |column: &[usize], rank: &mut [f64]| {
        for (at, cell) in column.iter().enumerate() {
            rank[*cell] = at as f64 / column.len() as f64;
        }
    };
    order.iter().for_each(|column| number(column, &mut rank));
    for sweep in 0..SWEEPS {
        let forward = sweep % 2 == 0;
        for step in 0..count {
            let at = if forward { step } else { count - 1 - step };
            let column = &mut order[at];
            column.sort_by_cached_key(|cell| {
                let joined = match forward {
                    true => &cells[*cell].before,
                    false => &cells[*cell].after,
                };
                let own = rank[*cell];
                // To a billionth, so that a rounding does not decide.
                (mean(joined.iter().map(|neighbour| rank[*neighbour])).unwrap_or(own) * 1e9) as i64
            });
            number(&order[at], &mut rank);
        }
    }
    order
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then_some(sum / count)
}

/// Gives each cell a height, near those it is joined with, in the order of its column.
fn place(cells: &mut [Cell], order: &mut [Vec<usize>]) {
    for column in order.iter() {
        let mut y = 0.0;
        for cell in column {
            cells[*cell].middle = y + cells[*cell].height / 2.0;
            y += cells[*cell].height + cells[*cell].gap;
        }
    }
    for sweep in 0..SWEEPS {
        let forward = sweep % 2 == 0;
        for step in 0..order.len() {
            let at = if forward {
                step
            } else {
                order.len() - 1 - step
            };
            let targets = order[at].iter().map(|cell| {
                let own = &cells[*cell];
                let joined = own.before.iter().chain(&own.after);
                mean(joined.map(|neighbour| cells[*neighbour].middle)).unwrap_or(own.middle)
            });
            let targets: Vec<f64> = targets.collect();
            let placed = apart(cells, &order[at], &targets);
            for (cell, middle) in order[at].iter().zip(placed) {
                cells[*cell].middle = middle;
            }
        }
    }
}

/// The places nearest to those that are wanted, by the sum of squares, that are far enough apart: those
/// that would be too near form a block, which goes to the mean of what they want.
fn apart(cells: &[Cell], column: &[usize], targets: &[f64]) -> Vec<f64> {
    let mut offset = 0.0;
    let mut offsets = Vec::with_capacity(column.len());
    for (at, cell) in column.iter().enumerate() {
        if at > 0 {
            let above = &cells[column[at - 1]];
            let gap = above.gap.max(cells[*cell].gap);
            offset += above.height / 2.0 + gap + cells[*cell].height / 2.0;
        }
        offsets.push(offset);
    }
    // The sum and the count of each block.
    let mut blocks: Vec<(f64, f64)> = Vec::new();
    for (want, offset) in targets.iter().zip(&offsets) {
        blocks.push((want - offset, 1.0));
        while let [.., above, below] = blocks.as_mut_slice()
            && above.0 / above.1 > below.0 / below.1
        {
            *above = (above.0 + below.0, above.1 + below.1);
            blocks.pop();
        }
    }
    let starts = blocks.iter().flat_map(|(sum, count)| {
        let start = sum / count;
        std::iter::repeat_n(start, *count as usize)
    });
    starts
        .zip(offsets)
        .map(|(start, offset)| start + offset)
        .collect()
}

/// From middles to corners and points.
fn finish(sizes: &[Size], columns: &[usize], cells: &[Cell], ways: &[Vec<usize>]) -> Layout {
    let count = columns.iter().map(|column| column + 1).max().unwrap_or(0);
    let mut widths = vec![0.0_f64; count];
    for (size, column) in sizes.iter().zip(columns) {
        widths[*column] = widths[*column].max(size.width);
    }
    let mut left = Vec::with_capacity(count);
    let mut width = 0.0;
    for column in &widths {
        left.push(width);
        width += column + COLUMN_GAP;
    }
    let top = |cell: &Cell| cell.middle - cell.height / 2.0;
    let highest = cells.iter().map(top).fold(f64::INFINITY, f64::min);
    let highest = if highest.is_finite() { highest } else { 0.0 };
    let boxes: Vec<Place> = cells[..sizes.len()]
        .iter()
        .map(|cell| Place {
            x: left[cell.column],
            y: top(cell) - highest,
        })
        .collect();
    let lines = ways.iter().map(|way| {
        let mut points = Vec::new();
        for (at, index) in way.iter().enumerate() {
            let cell = &cells[*index];
            let y = cell.middle - highest;
            let x = left[cell.column];
            let right = match sizes.get(*index) {
                Some(size) => x + size.width,
                None => x + widths[cell.column],
            };
            if at > 0 {
                points.push(Place { x, y });
            }
            if at + 1 < way.len() {
                points.push(Place { x: right, y });
            }
        }
        points
    });
    let bottom = |cell: &Cell| cell.middle + cell.height / 2.0 - highest;
    Layout {
        lines: lines.collect(),
        boxes,
        width: (width - COLUMN_GAP).max(0.0),
        height: cells.iter().map(bottom).fold(0.0, f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Boxes of different sizes; each waits for up to three of those before it.
    fn graph(count: usize) -> (Vec<Size>, Vec<(usize, usize)>) {
        let mut seed = 7_u64;
        let mut random = move |below: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below.max(1)
        };
        let sizes = (0..count).map(|index| Size {
            width: 40.0 + random(120) as f64,
            height: if index % 2 == 0 { 24.0 } else { 40.0 },
            last: index % 50 == 49,
        });
        let sizes: Vec<Size> = sizes.collect();
        let mut edges = Vec::new();
        for to in 1..count {
            for _ in 0..random(4) {
                let from = to - 1 - random(to.min(30));
                if !sizes[from].last && !edges.contains(&(from, to)) {
                    edges.push((from, to));
                }
            }
        }
        (sizes, edges)
    }

    #[test]
    fn no_boxes_overlap_and_each_is_to_the_right_of_what_it_waits_for() {
        for count in [1, 5, 50, 500] {
            let (sizes, edges) = graph(count);
            let placed = layout(&sizes, &edges);
            for (at, (place, size)) in placed.boxes.iter().zip(&sizes).enumerate() {
                assert!(
                    place.x >= 0.0 && place.x + size.width <= placed.width,
                    "{place:?}"
                );
                assert!(
                    place.y >= 0.0 && place.y + size.height <= placed.height + 0.01,
                    "{place:?}"
                );
                for (other, its) in placed.boxes.iter().zip(&sizes).skip(at + 1) {
                    let beside = place.x + size.width <= other.x || other.x + its.width <= place.x;
                    let below = place.y + size.height <= other.y || other.y + its.height <= place.y;
                    assert!(beside || below, "{place:?} and {other:?} of {count}");
                }
            }
            for (from, to) in edges {
                let end = placed.boxes[from].x + sizes[from].width;
                assert!(end < placed.boxes[to].x, "{from} and {to} of {count}");
            }
        }
    }

    #[test]
    fn no_line_crosses_a_box() {
        let (sizes, edges) = graph(200);
        let placed = layout(&sizes, &edges);
        for line in &placed.lines {
            // What passes a column is a level line from one side of it to the other.
            for pair in line[1..].chunks_exact(2) {
                assert_eq!(pair[0].y, pair[1].y);
                for (place, size) in placed.boxes.iter().zip(&sizes) {
                    let beside = pair[1].x <= place.x || place.x + size.width <= pair[0].x;
                    let below = pair[0].y < place.y || place.y + size.height < pair[0].y;
                    assert!(beside || below, "{pair:?} and {place:?}");
                }
            }
        }
    }

    #[test]
    fn lines_of_one_box_are_laid_once_and_each_begins_on_what_was_laid_before() {
        let size = Size {
            width: 10.0,
            height: 10.0,
            last: false,
        };
        let points = |count: usize| {
            let edges = (0..count).flat_map(|to| (0..to).map(move |from| (from, to)));
            let edges: Vec<(usize, usize)> = edges.collect();
            let placed = layout(&vec![size; count], &edges);
            for (at, (line, (from, _))) in placed.lines.iter().zip(&edges).enumerate() {
                let place = placed.boxes[*from];
                let begin = Place {
                    x: place.x + size.width,
                    y: place.y + size.height / 2.0,
                };
                let mut earlier = edges[..at].iter().zip(&placed.lines);
                let is_on_another =
                    earlier.any(|((other, _), laid)| other == from && laid.contains(&line[0]));
                assert!(line[0] == begin || is_on_another, "{line:?}");
            }
            let points = placed.lines.iter().map(Vec::len).sum::<usize>();
            (points as f64) / (edges.len() as f64)
        };
        let (few, many) = (points(20), points(80));
        assert!(many < 1.1 * few, "{few} for each edge, then {many}");
    }

    #[test]
    fn a_cycle_that_objects_claim_ends_in_a_picture() {
        let size = Size {
            width: 10.0,
            height: 10.0,
            last: false,
        };
        let placed = layout(&[size; 3], &[(0, 1), (1, 2), (2, 0)]);
        assert_eq!(placed.boxes.len(), 3);
    }
}
