//! What a run is: the plan it follows, the events it emits, the state they fold into.
//!
//! One stream of [`RunEvent`]s is the only truth. The live view, the exporters, the record and a
//! replay all fold the same events through the same [`State`], so they cannot disagree. [`wire`] is
//! the form events have in records and exports; domain types are not serialized themselves.
//! Nothing here drives load, opens a file or looks at a clock.

mod addresses;
mod annotation;
mod asked;
mod auth;
mod body;
mod calibration;
mod checks;
mod comparison;
mod course;
mod event;
mod exit;
mod findings;
mod groups;
mod kept;
mod leaks;
mod lineage;
mod load_series;
mod measures;
mod network;
mod notify;
mod observed;
mod plan;
mod profiles;
mod resources;
mod run_plateaus;
mod shape;
mod state;
mod steering;
mod stretch;
mod subnet;
mod summary;
mod targets;
mod template;
mod timeline;
pub mod wire;

pub use addresses::{AddressSummary, Skew};
pub use annotation::{Annotation, WallTime};
pub use asked::AskError;
pub use auth::{Auth, AwsSigning, Coding, OAuth2};
pub use body::{Body, BodyKind, FormPart, PartContent};
pub use calibration::{Calibration, Floor};
pub use checks::CheckSummary;
pub use comparison::Comparison;
pub use course::{CoursePoint, MalformedCourse};
pub use event::{
    Ended, ExportCount, Gauges, Judged, Machine, Note, Resumed, RunEvent, RunInfo, RunStatus, SamplesCount,
    Second, Started,
};
pub use exit::{ExitCode, TRY_AGAIN};
pub use findings::{LatencyCorrelation, ResourceFindings};
pub use groups::GroupSummary;
pub use lineage::Lineage;
pub use load_series::{Counts, LoadSeries};
pub use measures::{MeasureFigures, MeasureSummary, StepMeasure};
pub use network::{AddressFamily, HostAddress, Network, Proxy, Reuse};
pub use notify::{EmailSettings, MailTls, NotifyChannel, NotifyReceiver, NotifySettings, Occasion};
pub use observed::Observed;
pub use plan::TlsVersion;
pub use plan::{
    Absent, Action, AddressChoice, Assignment, AwsCredentials, Branch, Capture, CaptureSource, Check,
    CloudWatchExport, CloudWatchResolution, Connections, ElasticsearchExport, Expect, ExportSettings, Feed,
    FeedOrder, FileExport, FileFormat, Group, Header, HeaderExpectation, HttpSettings, HttpVersion, If,
    InfluxExport, InfluxPlace, KafkaExport, LIMIT_TAG, Load, LoadModel, MOST_CAPTURED, OnFailure, OtlpExport,
    OtlpHistograms, OtlpProtocol, OtlpTemporality, Pick, PlannedTarget, PrometheusExport, RemoteWriteExport,
    RemoteWriteHistograms, RemoteWriteVersion, Repeat, Replay, Request, ResourceEndpoint, ResourceOrigin,
    ResourceSource, Retry, RunPlan, SamplesFormat, SamplesSettings, Scenario, SearchCredentials, Secret,
    SpoolSettings, SpoolSync, StatsdAddress, StatsdExport, StatusRange, TlsSettings, Until, UserLimits,
    WhenFull,
};
pub use plan::{MeasureRead, MeasureSource, PlannedMeasure, RequestMeasure};
pub use plimsoll_measure::{ResourceFigure, ResourceScrape, ResourceUnit};
pub use profiles::{ProfileKind, ProfileMoment, ProfileSource, ProfileTaken, ProfilesSettings};
pub use resources::{ResourceSourceSummary, ResourceSummary};
pub use run_plateaus::RunPlateaus;
pub use shape::{
    AddressShape, CheckShape, GroupShape, LoadShape, MeasureShape, Model, ScenarioShape, Shape, StageShape,
    StepShape,
};
pub use state::State;
pub use steering::{Change, Command, NoChange, Refusal, Steered, Steerings};
pub use stretch::{FigureStretch, Level, Levels, SourceStretch, Stretch, StretchBuilder};
pub use subnet::{NoSubnet, Subnet};
pub use summary::{
    ErrorSummary, LatencyCurve, ObjectiveSummary, OverflowSummary, PhaseSummary, ScenarioSummary,
    StageSummary, SteeredSummary, StepSummary, Summary, Totals,
};
pub use targets::{NoTarget, Targets};
pub use template::{Part, Template, Variable};
pub use timeline::{Timeline, TimelinePoint};
