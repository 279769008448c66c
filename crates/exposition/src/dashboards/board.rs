//! A dashboard before it is JSON: rows of panels, each with queries and a look.

use serde_json::{Map, Value, json};

/// How many columns a dashboard has.
const COLUMNS: u32 = 24;

/// A dashboard.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) uid: String,
    pub(super) title: String,
    pub(super) description: &'static str,
    pub(super) source: Source,
    pub(super) variables: Vec<Variable>,
    pub(super) annotations: Vec<Value>,
    pub(super) rows: Vec<Row>,
    /// How often it asks anew.
    pub(super) refresh: &'static str,
    /// Since when it shows.
    pub(super) from: &'static str,
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Prometheus,
    InfluxDb,
}

/// A choice at the top.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    /// What gives the values.
    pub(super) query: String,
}

/// Panels under a heading.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) title: String,
    pub(super) panels: Vec<Panel>,
    /// Shown, and asked for, when somebody opens it.
    pub(super) collapsed: bool,
}

/// A panel before it has a place.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) description: String,
    /// As Grafana calls it.
    pub(super) unit: &'static str,
    /// Digits behind the point, where Grafana's own choice would hide what matters.
    pub(super) decimals: Option<u32>,
    pub(super) width: u32,
    pub(super) queries: Vec<Query>,
    pub(super) look: Look,
    /// Where more is to be seen.
    pub(super) link: Option<Link>,
}

/// What is asked, and what the answer is called.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) expression: String,
    pub(super) legend: String,
}

/// How a panel looks.
#[derive(Debug, Clone)]
pub(super) enum Look {
    Lines,
    /// Lines that may go below zero.
    Signed,
    /// Bars that add up, for what happens now and then.
    Stacked,
    /// Lines and, dashed, values that they should stay below or above.
    Limits(Vec<Limit>),
    /// Bands over time, a word and a color for each value.
    States(&'static [(&'static str, &'static str, &'static str)]),
    /// The newest value of each series, colored from these values on.
    Now(&'static [(f64, &'static str)]),
    /// As [`Look::Now`], with words for values.
    Words(&'static [(&'static str, &'static str, &'static str)]),
    /// Durations over time.
    Heatmap,
    /// Labels of the newest values, one row each; the columns to show, and whether the value is one of them.
    Table(&'static [&'static str], Option<&'static str>),
}

/// A value that lines should stay on one side of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    pub(super) value: f64,
    pub(super) color: &'static str,
}

/// Where a panel leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// The page of the run that is chosen.
    Run,
    /// Another page of the service.
    Page(&'static str, &'static str),
    /// The service's page of an SLA, by its name.
    Sla(String),
    /// Another dashboard, by its `uid`.
    Board(&'static str, &'static str),
}

pub(super) fn query(legend: impl Into<String>, expression: impl Into<String>) -> Query {
    Query { expression: expression.into(), legend: legend.into() }
}

/// A panel of half the width.
pub(super) fn panel(title: &str, description: &str, unit: &'static str, queries: Vec<Query>) -> Panel {
    Panel {
        title: title.to_owned(),
        description: description.to_owned(),
        unit,
        decimals: None,
        width: COLUMNS / 2,
        queries,
        look: Look::Lines,
        link: None,
    }
}

impl Panel {
    pub(super) fn look(self, look: Look) -> Self {
        Self { look, ..self }
    }

    pub(super) fn decimals(self, decimals: u32) -> Self {
        Self { decimals: Some(decimals), ..self }
    }

    pub(super) fn width(self, width: u32) -> Self {
        Self { width, ..self }
    }

    pub(super) fn link(self, link: Link) -> Self {
        Self { link: Some(link), ..self }
    }

    fn height(&self) -> u32 {
        match self.look {
            Look::Now(_) | Look::Words(_) => 4,
            Look::Table(..) => 5,
            _ => 8,
        }
    }
}

pub(super) fn row(title: &str, panels: Vec<Panel>) -> Row {
    Row { title: title.to_owned(), panels, collapsed: false }
}

impl Source {
    fn kind(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::InfluxDb => "influxdb",
        }
    }

    fn json(self) -> Value {
        json!({ "type": self.kind(), "uid": "${datasource}" })
    }

    fn target(self, letter: char, query: &Query, look: &Look) -> Value {
        let letter = letter.to_string();
        match self {
            Self::Prometheus => {
                let is_table = matches!(look, Look::Table(..));
                let format = match look {
                    Look::Heatmap => "heatmap",
                    Look::Table(..) => "table",
                    _ => "time_series",
                };
                json!({
                    "refId": letter,
                    "datasource": self.json(),
                    "expr": query.expression,
                    "legendFormat": query.legend,
                    "format": format,
                    "range": !is_table,
                    "instant": is_table,
                })
            }
            Self::InfluxDb => json!({
                "refId": letter,
                "datasource": self.json(),
                "query": query.expression,
                "alias": query.legend,
                "rawQuery": true,
                "resultFormat": if matches!(look, Look::Table(..)) { "table" } else { "time_series" },
            }),
        }
    }
}

/// A region or a mark over the panels: where `expression` is above 0.
pub(super) fn annotation(name: &str, color: &str, expression: &str, title: &str, text: &str) -> Value {
    json!({
        "name": name,
        "datasource": Source::Prometheus.json(),
        "enable": true,
        "iconColor": color,
        "expr": expression,
        // Whatever is shorter than the step may be missed; more points than there is room for are not asked for.
        "step": "5s",
        "titleFormat": title,
        "textFormat": text,
        "target": { "refId": "Anno", "expr": expression, "interval": "5s" },
    })
}

impl Board {
    pub(super) fn render(&self) -> String {
        let dashboard = json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["plimsoll"],
            "schemaVersion": 39,
            "version": 1,
            "editable": true,
            "refresh": self.refresh,
            "time": { "from": self.from, "to": "now" },
            "timezone": "browser",
            "graphTooltip": 1,
            "links": [
                { "type": "dashboards", "title": "Plimsoll", "tags": ["plimsoll"], "asDropdown": true, "keepTime": true,
                  "includeVars": true, "targetBlank": false, "icon": "external link", "tooltip": "" },
                link("Page of the service", "${page}"),
            ],
            "templating": { "list": self.variables() },
            "annotations": { "list": self.annotations },
            "panels": self.panels(),
        });
        format!("{dashboard:#}\n")
    }

    fn variables(&self) -> Vec<Value> {
        let source = self.source;
        let mut list = vec![
            json!({ "name": "datasource", "label": "Data source", "type": "datasource", "query": source.kind(), "refresh": 1 }),
        ];
        for Variable { name, label, query } in &self.variables {
            let query = match source {
                Source::Prometheus => json!({ "query": query, "refId": name }),
                Source::InfluxDb => json!(query),
            };
            list.push(json!({
                "name": name,
                "label": label,
                "type": "query",
                "datasource": source.json(),
                "query": query,
                "refresh": 2,
                "includeAll": true,
                "multi": true,
                "allValue": ".*",
                "current": { "text": "All", "value": "$__all" },
                "sort": 1,
            }));
        }
        let page = "http://127.0.0.1:7700";
        list.push(json!({
            "name": "page",
            "label": "Page of plimsoll serve",
            "type": "textbox",
            "query": page,
            "current": { "text": page, "value": page },
        }));
        list
    }

    fn panels(&self) -> Vec<Value> {
        let mut placed = Vec::new();
        let (mut id, mut y) = (0, 0);
        let mut next = || {
            id += 1;
            id
        };
        for row in &self.rows {
            let mut heading = json!({
                "id": next(), "type": "row", "title": row.title, "collapsed": row.collapsed, "panels": [],
                "gridPos": { "h": 1, "w": COLUMNS, "x": 0, "y": y },
            });
            y += 1;
            let (mut x, mut height, mut below) = (0, 0, y);
            let mut panels = Vec::new();
            for panel in &row.panels {
                if x + panel.width > COLUMNS {
                    (x, below, height) = (0, below + height, 0);
                }
                let place = json!({ "h": panel.height(), "w": panel.width, "x": x, "y": below });
                panels.push(self.panel(next(), panel, &place));
                x += panel.width;
                height = height.max(panel.height());
            }
            if row.collapsed {
                heading["panels"] = panels.into();
                placed.push(heading);
            } else {
                placed.push(heading);
                placed.append(&mut panels);
                y = below + height;
            }
        }
        placed
    }

    fn panel(&self, id: usize, panel: &Panel, place: &Value) -> Value {
        let targets: Vec<Value> = panel
            .queries
            .iter()
            .zip('A'..='Z')
            .map(|(query, letter)| self.source.target(letter, query, &panel.look))
            .collect();
        let Drawn { kind, mut defaults, overrides, options, transformations } = draw(&panel.look, panel.unit);
        if let Some(decimals) = panel.decimals {
            defaults["decimals"] = json!(decimals);
        }
        let mut json = json!({
            "id": id,
            "type": kind,
            "title": panel.title,
            "description": panel.description,
            "datasource": self.source.json(),
            "gridPos": place,
            "targets": targets,
            "fieldConfig": { "defaults": defaults, "overrides": overrides },
            "options": options,
        });
        if let Some(to) = &panel.link {
            json["links"] = json!([match to {
                Link::Run => link("Page of the run that is chosen", "${page}/#/runs/${run}"),
                Link::Page(title, path) => link(title, &format!("${{page}}{path}")),
                Link::Sla(name) => link("Page of the SLA", &format!("${{page}}/sla/{}", in_url(name))),
                Link::Board(title, uid) => link(title, &format!("/d/{uid}?${{__url_time_range}}")),
            }]);
        }
        if !transformations.is_empty() {
            json["transformations"] = transformations.into();
        }
        json
    }
}

/// A name as a part of a path (RFC 3986, section 2.3: what is not unreserved is escaped).
fn in_url(name: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    name.bytes().map(escaped).collect()
}

fn link(title: &str, url: &str) -> Value {
    json!({ "type": "link", "title": title, "url": url, "targetBlank": true, "tags": [], "asDropdown": false, "keepTime": false,
            "includeVars": false, "icon": "external link", "tooltip": "" })
}

struct Drawn {
    kind: &'static str,
    defaults: Value,
    overrides: Vec<Value>,
    options: Value,
    transformations: Vec<Value>,
}

fn draw(look: &Look, unit: &str) -> Drawn {
    match look {
        Look::Lines => lines(unit, true, &[]),
        Look::Signed => lines(unit, false, &[]),
        Look::Stacked => bars(lines(unit, true, &[])),
        Look::Limits(limits) => lines(unit, false, limits),
        Look::States(words) => Drawn {
            kind: "state-timeline",
            defaults: json!({ "unit": unit, "custom": { "lineWidth": 0, "fillOpacity": 70 }, "mappings": mappings(words) }),
            overrides: Vec::new(),
            options: json!({
                "showValue": "auto",
                "mergeValues": true,
                "rowHeight": 0.9,
                "alignValue": "left",
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": [] },
                "tooltip": { "mode": "single", "sort": "none" },
            }),
            transformations: Vec::new(),
        },
        Look::Now(colors) => {
            let mut steps =
                vec![json!({ "value": null, "color": colors.first().map_or("text", |first| first.1) })];
            steps.extend(
                colors.iter().skip(1).map(|(value, color)| json!({ "value": value, "color": color })),
            );
            now(json!({ "unit": unit, "thresholds": { "mode": "absolute", "steps": steps } }))
        }
        Look::Words(words) => now(json!({
            "unit": unit,
            "mappings": mappings(words),
            "thresholds": { "mode": "absolute", "steps": [{ "value": null, "color": "text" }] },
        })),
        Look::Heatmap => Drawn {
            kind: "heatmap",
            defaults: json!({ "unit": unit, "custom": { "hideFrom": { "legend": false, "tooltip": false, "viz": false } } }),
            overrides: Vec::new(),
            options: json!({
                "calculate": false,
                "cellGap": 0,
                "cellValues": { "unit": "reqps" },
                // Few slow requests among many fast ones are what one looks for: the scale favours small counts.
                "color": { "mode": "scheme", "scheme": "Turbo", "fill": "dark-blue", "scale": "exponential", "exponent": 0.5,
                           "steps": 64, "reverse": false },
                "exemplars": { "color": "rgba(255,0,255,0.7)" },
                "filterValues": { "le": 1e-9 },
                "legend": { "show": true },
                "rowsFrame": { "layout": "auto" },
                "showValue": "never",
                "tooltip": { "mode": "single", "yHistogram": true, "showColorScale": true },
                "yAxis": { "axisPlacement": "left", "unit": unit, "reverse": false },
            }),
            transformations: Vec::new(),
        },
        Look::Table(columns, value) => table(unit, columns, *value),
    }
}

fn lines(unit: &str, from_zero: bool, limits: &[Limit]) -> Drawn {
    let mut custom = json!({
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 0,
        "showPoints": "never",
        "spanNulls": false,
        "stacking": { "mode": "none", "group": "A" },
    });
    let mut defaults = json!({ "unit": unit, "custom": custom });
    if from_zero {
        defaults["min"] = json!(0);
    }
    if !limits.is_empty() {
        custom["thresholdsStyle"] = json!({ "mode": "dashed" });
        // The step below all limits draws no line.
        let mut steps = vec![json!({ "value": null, "color": "transparent" })];
        steps.extend(limits.iter().map(|limit| json!({ "value": limit.value, "color": limit.color })));
        defaults["custom"] = custom;
        defaults["thresholds"] = json!({ "mode": "absolute", "steps": steps });
        defaults["color"] = json!({ "mode": "palette-classic" });
    }
    Drawn {
        kind: "timeseries",
        defaults,
        overrides: Vec::new(),
        options: json!({
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
            "tooltip": { "mode": "multi", "sort": "desc" },
        }),
        transformations: Vec::new(),
    }
}

fn bars(lines: Drawn) -> Drawn {
    let mut bars = lines;
    let custom = &mut bars.defaults["custom"];
    custom["drawStyle"] = json!("bars");
    custom["fillOpacity"] = json!(70);
    custom["stacking"]["mode"] = json!("normal");
    bars
}

fn now(defaults: Value) -> Drawn {
    Drawn {
        kind: "stat",
        defaults,
        overrides: Vec::new(),
        options: json!({
            "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
            "orientation": "auto",
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "textMode": "auto",
            "wideLayout": true,
            "showPercentChange": false,
            "percentChangeColorMode": "standard",
        }),
        transformations: Vec::new(),
    }
}

fn mappings(words: &[(&str, &str, &str)]) -> Value {
    let options: Map<String, Value> = words
        .iter()
        .enumerate()
        .map(|(index, (value, text, color))| {
            ((*value).to_owned(), json!({ "text": text, "color": color, "index": index }))
        })
        .collect();
    json!([{ "type": "value", "options": options }])
}

fn table(unit: &str, columns: &[&str], value: Option<&str>) -> Drawn {
    let order: Map<String, Value> = columns
        .iter()
        .chain(&["Value"])
        .enumerate()
        .map(|(at, name)| ((*name).to_owned(), json!(at)))
        .collect();
    let mut hidden = Map::new();
    for name in ["Time", "__name__", "instance", "job"] {
        hidden.insert(name.to_owned(), json!(true));
    }
    let mut renamed = Map::new();
    match value {
        Some(name) => renamed.insert("Value".to_owned(), json!(name)),
        None => hidden.insert("Value".to_owned(), json!(true)),
    };
    let run = json!({
        "matcher": { "id": "byName", "options": "run" },
        "properties": [{ "id": "links", "value": [
            { "title": "Page of the run", "url": "${page}/#/runs/${__value.raw}", "targetBlank": true },
        ] }],
    });
    Drawn {
        kind: "table",
        defaults: json!({ "unit": unit, "custom": {} }),
        overrides: if columns.contains(&"run") { vec![run] } else { Vec::new() },
        options: json!({ "showHeader": true, "cellHeight": "sm", "frameIndex": 0 }),
        transformations: vec![json!({
            "id": "organize",
            "options": { "excludeByName": hidden, "indexByName": order, "renameByName": renamed },
        })],
    }
}
