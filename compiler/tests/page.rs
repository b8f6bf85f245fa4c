//! The page of `mnc explore` in a browser without a window: are its pictures drawn, on a desk and on a phone?
//!
//! The page itself runs nothing. The test adds a script to a copy, which says where everything is, and looks at a photograph of
//! the screen in these places.

#[path = "support/command.rs"]
mod command;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use command::{has_compiler, json};
use image::RgbImage;
use serde::Deserialize;

const BROWSER: &str = "chromium";

/// Of a desk and of a phone, in pixels.
const WIDTHS: [u32; 2] = [1200, 390];
/// More than the page is high: nothing scrolls.
const HEIGHT: u32 = 12_000;

/// Left, top, right, bottom.
type Rectangle = [f64; 4];

/// What the browser made of the page.
#[derive(Debug, Deserialize)]
struct Seen {
    width: f64,
    page_width: f64,
    page_height: f64,
    n_loaded: usize,
    n_figures: usize,
    pictures: Vec<Picture>,
}

/// A picture that is shown.
#[derive(Debug, Deserialize)]
struct Picture {
    place: Rectangle,
    /// Dots, bars and lines.
    marks: Vec<Rectangle>,
    names: Vec<Rectangle>,
}

/// Tells the page around it.
const TELL: &str = "<script>
addEventListener('load', () => {
  const place = e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
  const shown = [...document.querySelectorAll('figure > svg')].filter(e => 0 < e.getBoundingClientRect().width);
  const root = document.documentElement;
  parent.postMessage(JSON.stringify({
    width: innerWidth, page_width: root.scrollWidth, page_height: document.body.getBoundingClientRect().bottom,
    n_loaded: performance.getEntriesByType('resource').length,
    n_figures: document.querySelectorAll('figure').length,
    pictures: shown.map(svg => ({
      place: place(svg),
      marks: [...svg.querySelectorAll('circle, rect, path.line')].map(place),
      names: [...svg.querySelectorAll('text')].filter(e => e.textContent).map(place),
    })),
  }), '*');
});
</script>
</body>";

#[test]
fn pictures_are_drawn_on_a_desk_and_on_a_phone() {
    if !has_compiler() || mnc_need::program(BROWSER).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    // The sixteen members of the paper and the networks of its claims: every picture that there is.
    let explore =
        ["explore", "--claims", "--rounds", "1", "--max-latency", "1ms", "--folder", "out", "--json"];
    let document = json(folder.path(), &explore, &[]);
    assert_eq!(document["members"].as_array().map(Vec::len), Some(16));
    let page = fs::read_to_string(folder.path().join("out/index.html")).expect("the page is there");
    assert!(
        !page.contains("<script") && !page.contains("src=") && !page.contains("href="),
        "it needs no network"
    );
    for width in WIDTHS {
        let seen = look(folder.path(), &page, width);
        let photograph = photograph(folder.path(), &page, width);
        check(&seen, &photograph, width);
    }
    // By itself, as a document shows it.
    let front = "<!doctype html><body style=\"margin: 0\"><img src=\"out/front.svg\" width=\"840\"></body>";
    let photograph = photograph(folder.path(), front, WIDTHS[0]);
    assert!(is_drawn(&photograph, [0.0, 0.0, 840.0, 480.0]), "front.svg");
}

fn check(seen: &Seen, photograph: &RgbImage, width: u32) {
    assert_eq!((seen.width, seen.n_loaded, seen.n_figures), (f64::from(width), 0, 9), "{width}");
    assert!(seen.page_width <= f64::from(width), "{width}: the page is {} wide", seen.page_width);
    assert!(seen.page_height < f64::from(HEIGHT), "{width}: the page is {} high", seen.page_height);
    assert_eq!(seen.pictures.len(), seen.n_figures, "{width}: one drawing of each figure is shown");
    for (idx, Picture { place, marks, names }) in seen.pictures.iter().enumerate() {
        let inside = |inner: &Rectangle| {
            place[0] - 1.0 <= inner[0]
                && place[1] - 1.0 <= inner[1]
                && inner[2] <= place[2] + 1.0
                && inner[3] <= place[3] + 1.0
        };
        let is_wide = 0.9 * f64::from(width.min(900)) < place[2] - place[0];
        assert!(is_wide && 100.0 < place[3] - place[1], "{width}, picture {idx}: {place:?}");
        let n_marks =
            marks.iter().filter(|mark| inside(mark) && mark[0] < mark[2] && mark[1] < mark[3]).count();
        assert!(4 <= n_marks, "{width}, picture {idx}: {n_marks} marks");
        assert!(is_drawn(photograph, *place), "{width}, picture {idx} isn't drawn");
        for (name_idx, name) in names.iter().enumerate() {
            assert!(inside(name), "{width}, picture {idx}: {name:?} is outside of {place:?}");
            let covered = names[..name_idx].iter().find(|other| overlap(name, other));
            assert_eq!(covered, None, "{width}, picture {idx}: covered by the name at {name:?}");
        }
    }
}

/// Whether two names are on top of each other: a box is higher than its letters.
fn overlap(a: &Rectangle, b: &Rectangle) -> bool {
    const AIR: f64 = 3.0;
    a[0] + AIR < b[2] && b[0] + AIR < a[2] && a[1] + AIR < b[3] && b[1] + AIR < a[3]
}

/// Whether there are dots, bars or lines: letters and axes are grey, they have colours.
fn is_drawn(photograph: &RgbImage, place: Rectangle) -> bool {
    let [left, top, right, bottom] = place.map(|edge| edge.max(0.0) as u32);
    let (right, bottom) = (right.min(photograph.width()), bottom.min(photograph.height()));
    let pixels = || (top..bottom).flat_map(move |y| (left..right).map(move |x| photograph.get_pixel(x, y).0));
    let is_coloured =
        |pixel: &[u8; 3]| 60 < pixel.iter().max().unwrap_or(&0) - pixel.iter().min().unwrap_or(&0);
    let colours: BTreeSet<[u8; 3]> = pixels().filter(is_coloured).collect();
    2 <= colours.len() && pixels().count() / 2000 < pixels().filter(is_coloured).count()
}

/// What the script tells.
fn look(folder: &Path, page: &str, width: u32) -> Seen {
    framed(folder, &page.replace("</body>", TELL), width);
    let html = browse(folder, &["--dump-dom"]);
    let told = html.split("<pre>").nth(1).and_then(|rest| rest.split("</pre>").next());
    let told =
        told.filter(|text| !text.is_empty()).unwrap_or_else(|| panic!("the script told nothing:\n{html}"));
    serde_json::from_str(told).expect("numbers need no escapes")
}

fn photograph(folder: &Path, page: &str, width: u32) -> RgbImage {
    framed(folder, page, width);
    let shot = folder.join("shot.png");
    browse(folder, &[&format!("--screenshot={}", shot.display())]);
    image::open(&shot).expect("the browser took a photograph").to_rgb8()
}

/// Writes the page, and one around it that shows it at this width: a window may be wider than it was asked to be.
fn framed(folder: &Path, page: &str, width: u32) {
    let outer = format!(
        "<!doctype html><body style=\"margin: 0\"><pre></pre>\n\
         <script>onmessage = e => document.querySelector('pre').textContent = e.data</script>\n\
         <iframe src=\"inner.html\" width=\"{width}\" height=\"{HEIGHT}\" style=\"border: 0; position: absolute; top: 0; left: 0\">\
         </iframe></body>"
    );
    fs::write(folder.join("inner.html"), page).expect("the folder is writable");
    fs::write(folder.join("outer.html"), outer).expect("the folder is writable");
}

/// Runs the browser on the outer page; what it prints.
fn browse(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new(BROWSER);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=10000",
    ]);
    command.arg(format!("--window-size={},{HEIGHT}", WIDTHS[0]));
    command.arg(format!("--user-data-dir={}", folder.join("browser").display()));
    command.args(args).arg(format!("file://{}", folder.join("outer.html").display())).stdin(Stdio::null());
    let output = command.output().expect("the browser runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}
