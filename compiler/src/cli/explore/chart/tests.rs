use super::*;

fn is_whole(svg: &str) {
    for tag in ["svg", "text", "title"] {
        let (opened, closed) =
            (svg.matches(&format!("<{tag}")).count(), svg.matches(&format!("</{tag}>")).count());
        assert_eq!(opened, closed, "{tag} in\n{svg}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

fn scatter() -> Scatter {
    let point = |x: f64, y: f64| Point {
        at: (x, y),
        name: format!("{x}<{y}"),
        hint: "a & b".to_owned(),
        is_main: true,
    };
    Scatter {
        description: "dots".to_owned(),
        x: Values { title: "ms".to_owned(), scale: Scale::Log },
        y: Values { title: "%".to_owned(), scale: Scale::Linear },
        series: vec![Series {
            colour: 3,
            mark: Mark::Circle,
            name: "series".to_owned(),
            points: vec![point(10.0, 70.0), point(1.0, 50.0)],
            is_joined: true,
        }],
        lines: vec![Line {
            class: "limit",
            points: vec![(5.0, 0.0), (5.0, 100.0)],
            name: "5 ms allowed".to_owned(),
        }],
    }
}

#[test]
fn dots_have_names_and_hints() {
    for size in [Size::Wide, Size::Narrow] {
        let svg = scatter().draw(size);
        is_whole(&svg);
        assert_eq!(svg.matches("<circle class=\"dot s3\"").count(), 2, "{svg}");
        for text in [">1&lt;50<", ">series<", ">5 ms allowed<", "<title>a &amp; b</title>", ">ms<", ">%<"] {
            assert!(svg.contains(text), "{text} in\n{svg}");
        }
    }
}

#[test]
fn one_dot_is_a_picture_too() {
    let mut scatter = scatter();
    scatter.series[0].points.truncate(1);
    scatter.lines.clear();
    is_whole(&scatter.draw(Size::Wide));
    scatter.series[0].mark = Mark::Square;
    let svg = scatter.draw(Size::Wide);
    is_whole(&svg);
    assert!(svg.contains("<rect class=\"dot s3\"") && !svg.contains("<circle"), "{svg}");
}

#[test]
fn long_numbers_beside_an_axis_are_inside() {
    for (scale, values) in [(Scale::Linear, [1e5, 3e6]), (Scale::Log, [1e-7, 2e-4])] {
        let mut scatter = scatter();
        scatter.y.scale = scale;
        for (point, y) in scatter.series[0].points.iter_mut().zip(values) {
            point.at.1 = y;
        }
        let svg = scatter.draw(Size::Narrow);
        let numbers: Vec<(f64, &str)> = svg
            .lines()
            .filter_map(|line| line.strip_prefix("<text class=\"tick\" x=\"")?.strip_suffix("</text>"))
            .filter(|line| line.contains("text-anchor=\"end\""))
            .filter_map(|line| Some((line.split_once('"')?.0.parse().ok()?, line.rsplit_once('>')?.1)))
            .collect();
        assert!(2 <= numbers.len(), "{svg}");
        for (end, number) in numbers {
            assert!(width_of(number, NUMBER_SIZE) <= end, "{number} ends at {end}");
        }
    }
}

#[test]
fn bars_are_as_long_as_their_values() {
    let part = |value: f64, text: &str| Part { colour: 0, value, text: text.to_owned() };
    let row =
        |name: &str, parts| Row { name: name.to_owned(), parts, text: "end".to_owned(), is_second: false };
    let bars = Bars {
        description: "bars".to_owned(),
        title: "%".to_owned(),
        most: 100.0,
        rows: vec![
            row("a", vec![part(60.0, "sixty"), part(40.0, "forty")]),
            row("b", vec![part(1.0, "too long for it")]),
        ],
        legend: vec![(0, "kind".to_owned())],
    };
    for size in [Size::Wide, Size::Narrow] {
        let svg = bars.draw(size);
        is_whole(&svg);
        let widths: Vec<f64> = svg
            .split("<rect ")
            .filter(|rect| rect.contains("<title>"))
            .map(|rect| rect.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        assert!(((widths[0] + 0.8) / (widths[1] + 0.8) - 1.5).abs() < 0.01, "{widths:?}");
        assert!(svg.contains(">sixty</text>") && !svg.contains(">too long for it</text>"), "{svg}");
    }
}
