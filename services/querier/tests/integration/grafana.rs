//! What Grafana asks, in its own encodings, and what it makes of the answers: its data sources for
//! Pyroscope (Connect, protobuf) and Parca (gRPC-web), and the Profiles Drilldown app (JSON).

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, UInt32Type, UInt64Type};
use cairn_wire::EncodedProfile;
use cairn_wire::connect::Codec;
use cairn_wire::parca::query::v1alpha1 as parca;
use cairn_wire::parca::query::v1alpha1::query_request::ReportType;
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::querier::v1 as querier;
use cairn_wire::types::v1::{
    ExemplarType, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse,
};
use http::{Request, Response};
use http_body_util::Full;
use prost::{Message, Name};
use serde_json::{Value, json};

use crate::apis::{CPU, filled, merge};
use crate::fixture::{Fixture, SECOND, START, encoded, send};
use crate::grpc_web;
use crate::nodes::{nodes_of_flame_graph, nodes_of_profile};
use crate::pyroscope::{END_MS, START_MS, path};
use crate::reports::{ints, record, texts};

/// Of all profiles that are there.
const TOTAL: i64 = 30 + 12 + 100 + 8;

/// A call as the data source's backend makes it.
async fn connect<Q, A>(fixture: &Fixture, method: &str, request: &Q) -> A
where
    Q: Message + Name,
    A: Message + Name + Default,
{
    let asked = Request::post(format!("http://{}{}", fixture.address(), path(method)));
    let asked = asked
        .header("content-type", "application/proto")
        .header("connect-protocol-version", "1")
        .header("user-agent", "connect-go/1.18.1 (go1.24)")
        .header("accept", "application/json; allow-utf8-labelnames=true");
    let body = Full::new(Codec::Proto.encode(request).into());
    let answer = send(asked.body(body).unwrap()).await;
    assert_eq!(answer.status(), 200, "{method}");
    assert_eq!(answer.headers()["content-type"], "application/proto");
    Codec::Proto.decode(answer.into_body()).unwrap()
}

/// Its selectors may begin with the type, or say nothing.
#[tokio::test]
async fn the_pyroscope_data_source_finds_types_and_labels() {
    let fixture = filled().await;
    for request in [
        querier::ProfileTypesRequest::default(),
        querier::ProfileTypesRequest {
            start: START_MS,
            end: END_MS,
        },
    ] {
        let found: querier::ProfileTypesResponse =
            connect(&fixture, "ProfileTypes", &request).await;
        let ids: Vec<&str> = found.profile_types.iter().map(|of| &*of.id).collect();
        assert_eq!(ids, ["memory:inuse_space:bytes:cpu:nanoseconds", CPU]);
        // Shown beside each other; the unit is the third part of the id.
        for of in &found.profile_types {
            assert!(!of.name.is_empty() && !of.sample_type.is_empty(), "{of:?}");
            assert_eq!(of.id.split(':').nth(2), Some(&*of.sample_unit));
        }
    }
    for selector in [
        String::new(),
        "{}".to_owned(),
        format!("{CPU}{{}}"),
        format!("{CPU}{{service_name=\"cart\",}}"),
    ] {
        let request = LabelNamesRequest {
            matchers: vec![selector.clone()],
            start: START_MS,
            end: END_MS,
        };
        let found: LabelNamesResponse = connect(&fixture, "LabelNames", &request).await;
        let shown = found.names.iter().filter(|name| !name.starts_with("__"));
        assert!(shown.clone().any(|name| name == "pod"), "{selector}");
        let request = LabelValuesRequest {
            name: "pod".to_owned(),
            matchers: vec![selector.clone()],
            start: START_MS,
            end: END_MS,
        };
        let found: LabelValuesResponse = connect(&fixture, "LabelValues", &request).await;
        assert!(found.names.contains(&"cart-2".to_owned()), "{selector}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn the_pyroscope_data_source_draws_series_and_graphs() {
    let fixture = filled().await;
    let request = querier::SelectSeriesRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start: START_MS,
        end: END_MS,
        group_by: vec!["service_name".to_owned()],
        step: 15.0,
        limit: Some(10),
        exemplar_type: ExemplarType::Individual.into(),
        ..querier::SelectSeriesRequest::default()
    };
    let found: querier::SelectSeriesResponse = connect(&fixture, "SelectSeries", &request).await;
    let points: Vec<_> = found.series.iter().flat_map(|of| &of.points).collect();
    assert_eq!(points.iter().map(|of| of.value).sum::<f64>(), TOTAL as f64);
    assert!(points.is_sorted_by_key(|point| point.timestamp));
    let exemplars: Vec<_> = points.iter().flat_map(|of| &of.exemplars).collect();
    assert!(!exemplars.is_empty());

    let graph = querier::SelectMergeStacktracesRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start: START_MS,
        end: END_MS,
        max_nodes: Some(16_384),
        ..querier::SelectMergeStacktracesRequest::default()
    };
    let single = querier::SelectMergeStacktracesRequest {
        profile_id_selector: vec![exemplars[0].profile_id.clone()],
        ..graph.clone()
    };
    let nothing = querier::SelectMergeStacktracesRequest {
        label_selector: "{pod=\"absent\"}".to_owned(),
        ..graph.clone()
    };
    for (request, total) in [(graph, TOTAL), (single, exemplars[0].value), (nothing, 0)] {
        let found: querier::SelectMergeStacktracesResponse =
            connect(&fixture, "SelectMergeStacktraces", &request).await;
        // It reads the first level, whatever it says, unless there is no graph or no level.
        let Some(graph) = found.flamegraph.filter(|graph| !graph.levels.is_empty()) else {
            assert_eq!(total, 0);
            continue;
        };
        let names = graph.names.len() as i64;
        for level in &graph.levels {
            assert!(!level.values.is_empty() && level.values.len() % 4 == 0);
            assert!(level.values.chunks(4).all(|bar| bar[3] < names));
        }
        assert_eq!(graph.levels[0].values[1], total);
        if total > 0 {
            // Each bar is found within the one that it belongs to.
            assert_eq!(nodes_of_flame_graph(&graph)["main"].0, total);
        }
    }

    fixture.stop().await;
}

#[tokio::test]
async fn the_pyroscope_data_source_draws_spans_and_heatmaps() {
    let fixture = filled().await;
    let request = querier::SelectMergeSpanProfileRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        span_selector: vec!["00000000000000ab".to_owned()],
        start: START_MS,
        end: END_MS,
        ..querier::SelectMergeSpanProfileRequest::default()
    };
    let found: querier::SelectMergeSpanProfileResponse =
        connect(&fixture, "SelectMergeSpanProfile", &request).await;
    let levels = found.flamegraph.map(|graph| graph.levels);
    assert!(
        levels
            .unwrap_or_default()
            .iter()
            .all(|of| of.values.len() >= 4)
    );

    let request = querier::SelectHeatmapRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start: START_MS,
        end: END_MS,
        step: 15.0,
        query_type: querier::HeatmapQueryType::Individual.into(),
        exemplar_type: ExemplarType::Individual.into(),
        ..querier::SelectHeatmapRequest::default()
    };
    let found: querier::SelectHeatmapResponse = connect(&fixture, "SelectHeatmap", &request).await;
    let slots = found.series.iter().flat_map(|series| &series.slots);
    let mut counted = 0;
    for slot in slots {
        assert_eq!(slot.counts.len(), slot.y_min.len());
        assert!(slot.y_min.is_sorted());
        counted += slot.counts.iter().sum::<i32>();
    }
    assert_eq!(counted, 2);
    fixture.stop().await;
}

/// A call as a browser makes it through Grafana's proxy.
async fn drilldown(fixture: &Fixture, path: &str, body: Value) -> Value {
    let asked = Request::post(format!("http://{}{path}", fixture.address()));
    let asked = asked
        .header("content-type", "application/json")
        .header("x-grafana-org-id", "1")
        .header("accept", "application/json; allow-utf8-labelnames=true")
        .header("accept-encoding", "gzip, deflate, br");
    let body = Full::new(body.to_string().into());
    let answer = send(asked.body(body).unwrap()).await;
    assert_eq!(answer.status(), 200, "{path}");
    serde_json::from_slice(&unpacked(answer)).unwrap()
}

fn unpacked(answer: Response<bytes::Bytes>) -> Vec<u8> {
    use std::io::Read as _;
    let is_packed = answer.headers().get("content-encoding").is_some();
    let body = answer.into_body();
    let mut plain = Vec::new();
    match is_packed {
        true => drop(
            flate2::read::GzDecoder::new(&body[..])
                .read_to_end(&mut plain)
                .unwrap(),
        ),
        false => plain.extend(body),
    }
    plain
}

#[tokio::test]
async fn the_drilldown_app_finds_services_and_labels() {
    let fixture = filled().await;
    let services = drilldown(
        &fixture,
        &path("Series"),
        json!({
            "start": START_MS,
            "end": END_MS,
            "labelNames": ["service_name", "__profile_type__"],
            "matchers": [],
        }),
    )
    .await;
    let sets = services["labelsSet"].as_array().unwrap();
    let of_set = |set: &Value, name: &str| {
        let pairs = set["labels"].as_array().unwrap().iter();
        let mut pairs = pairs.filter(|pair| pair["name"] == name);
        pairs
            .next()
            .map(|pair| pair["value"].as_str().unwrap().to_owned())
    };
    let mut types: Vec<String> = Vec::new();
    for set in sets {
        assert_eq!(of_set(set, "service_name").as_deref(), Some("cart"));
        types.extend(of_set(set, "__profile_type__"));
    }
    // It asks for these types again.
    assert!(types.iter().any(|of| of.starts_with(CPU)), "{types:?}");
    for of in &types {
        for matcher in [
            format!("{{__profile_type__=\"{of}\"}}"),
            // What it makes of a selector without and with labels.
            format!("{{__profile_type__=\"{of}\", }}"),
            format!("{{__profile_type__=\"{of}\", service_name=\"cart\"}}"),
        ] {
            let range = json!({ "matchers": [matcher], "start": START_MS, "end": END_MS });
            let names = drilldown(&fixture, &path("LabelNames"), range.clone()).await;
            let names = names["names"].as_array().unwrap();
            assert!(names.contains(&json!("service_name")), "{matcher}");
            let mut asked = range;
            asked["name"] = json!("service_name");
            let values = drilldown(&fixture, &path("LabelValues"), asked).await;
            assert_eq!(values["names"], json!(["cart"]), "{matcher}");
        }
    }
    // A list of settings without the app's own would be an error to it.
    let settings = drilldown(&fixture, "/settings.v1.SettingsService/Get", json!({})).await;
    assert!(settings["settings"].is_null());
    fixture.stop().await;
}

#[tokio::test]
async fn the_drilldown_app_draws_and_downloads() {
    let fixture = filled().await;
    let query = encoded(&format!("{CPU}{{service_name=\"cart\"}}"));
    let rendered = fixture
        .json(&format!(
            "/pyroscope/render?query={query}&from={START_MS}&until={END_MS}&aggregation=sum\
             &format=json&max-nodes=16384"
        ))
        .await;
    assert_eq!(rendered["version"], 1);
    let bearer = &rendered["flamebearer"];
    assert_eq!(bearer["numTicks"], TOTAL);
    for part in ["names", "levels"] {
        assert!(!bearer[part].as_array().unwrap().is_empty(), "{part}");
    }
    for part in ["format", "spyName", "sampleRate", "units", "name"] {
        assert!(!rendered["metadata"][part].is_null(), "{part}");
    }
    for part in ["startTime", "samples", "durationDelta"] {
        assert!(!rendered["timeline"][part].is_null(), "{part}");
    }
    let middle = START_MS + 500;
    let compared = fixture
        .json(&format!(
            "/pyroscope/render-diff?leftQuery={query}&leftFrom={START_MS}&leftUntil={middle}\
             &rightQuery={query}&rightFrom={middle}&rightUntil={END_MS}&max-nodes=16384"
        ))
        .await;
    assert_eq!(compared["metadata"]["format"], "double");
    let ticks = |side: &str| compared[side].as_i64().unwrap();
    assert_eq!(ticks("leftTicks") + ticks("rightTicks"), TOTAL);

    let request = querier::SelectMergeProfileRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{service_name=\"cart\"}".to_owned(),
        start: START_MS,
        end: END_MS,
        ..querier::SelectMergeProfileRequest::default()
    };
    let found: EncodedProfile = connect(&fixture, "SelectMergeProfile", &request).await;
    assert_eq!(nodes_of_profile(&found.0)["main"].0, TOTAL);
    fixture.stop().await;
}

async fn parca<A: Message + Default>(fixture: &Fixture, method: &str, request: &impl Message) -> A {
    let path = format!("/parca.query.v1alpha1.QueryService/{method}");
    let answer = grpc_web::call(fixture, &path, false, request).await;
    assert_eq!(grpc_web::status(&answer), "0", "{method}");
    A::decode(&answer.messages[0][..]).unwrap()
}

/// It names no range when it asks for names.
#[tokio::test]
async fn the_parca_data_source_finds_types_and_labels_and_draws_series() {
    let fixture = filled().await;
    let asked = parca::ProfileTypesRequest::default();
    let found: parca::ProfileTypesResponse = parca(&fixture, "ProfileTypes", &asked).await;
    assert!(
        found
            .types
            .iter()
            .any(|of| of.name == "process_cpu" && of.delta)
    );
    let asked = parca::LabelsRequest::default();
    let found: parca::LabelsResponse = parca(&fixture, "Labels", &asked).await;
    assert!(found.label_names.contains(&"pod".to_owned()));
    let asked = parca::ValuesRequest {
        label_name: "pod".to_owned(),
        ..parca::ValuesRequest::default()
    };
    let found: parca::ValuesResponse = parca(&fixture, "Values", &asked).await;
    assert!(found.label_values.contains(&"cart-2".to_owned()));

    // Its times are whole seconds, and it says how many points it has room for, but no step.
    let asked = parca::QueryRangeRequest {
        query: format!("{CPU}:delta{{}}"),
        start: Some(cairn_wire::timestamp(START)),
        end: Some(cairn_wire::timestamp(START + 60 * SECOND)),
        limit: 1_000,
        ..parca::QueryRangeRequest::default()
    };
    let found: parca::QueryRangeResponse = parca(&fixture, "QueryRange", &asked).await;
    let mut sum = 0;
    for series in &found.series {
        // It reads labels without looking whether there are any.
        assert!(series.labelset.is_some());
        for sample in &series.samples {
            assert!(sample.timestamp.is_some());
            sum += sample.value;
        }
    }
    assert_eq!(sum, TOTAL);
    fixture.stop().await;
}

/// It reads five columns, of these types alone, of the one record.
#[tokio::test]
async fn the_parca_data_source_walks_the_arrow_flame_graph() {
    let fixture = filled().await;
    for selector in ["{}", "{pod=\"absent\"}"] {
        let query = format!("{CPU}:delta{selector}");
        let asked = merge(&query, ReportType::FlamegraphArrow);
        let found: parca::QueryResponse = parca(&fixture, "Query", &asked).await;
        let Some(Report::FlamegraphArrow(graph)) = found.report else {
            panic!("another report")
        };
        assert_eq!(graph.unit, "nanoseconds");
        let record = record(&graph.record);
        for name in ["mapping_file", "function_name"] {
            let column = record.column_by_name(name).unwrap();
            let column = column.as_dictionary::<Int32Type>();
            assert!(column.values().as_binary_opt::<i32>().is_some(), "{name}");
        }
        let column = record.column_by_name("location_address").unwrap();
        assert!(column.as_primitive_opt::<UInt64Type>().is_some());
        let cumulative = ints(&record, "cumulative");
        let names = texts(&record, "function_name");
        let children = record.column_by_name("children").unwrap();
        let children = children.as_list::<i32>();
        // From the root, which is the first row.
        let (mut open, mut seen, mut own) = (vec![0], 0, 0);
        while let Some(row) = open.pop() {
            seen += 1;
            let below = children.value(row);
            let below = below.as_primitive::<UInt32Type>().values();
            let rows = below.iter().map(|row| *row as usize);
            let sum: i64 = rows.clone().map(|row| cumulative[row]).sum();
            own += cumulative[row] - sum;
            assert!(row == 0 || !names[row].is_empty() || sum == 0, "{row}");
            open.extend(rows);
        }
        assert_eq!(seen, record.num_rows());
        assert_eq!((own, cumulative[0]), (found.total, found.total));
        let expected = if selector == "{}" { TOTAL } else { 0 };
        assert_eq!(found.total, expected);
    }
    fixture.stop().await;
}
