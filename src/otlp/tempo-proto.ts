/**
 * Owns the text of Tempo's query messages (pkg/tempopb, Apache-2.0) as far as we speak them. Two liberties that the wire
 * does not see: a trace inside a message is `optional bytes` (never decoded, written though empty), and Go's options are gone.
 */
export const TEMPO_PROTO = `
syntax = "proto3";
package tempopb;

message AnyValue {
  oneof value {
    string stringValue = 1;
    bool boolValue = 2;
    int64 intValue = 3;
    double doubleValue = 4;
    ArrayValue arrayValue = 5;
    KeyValueList kvlistValue = 6;
    bytes bytesValue = 7;
  }
}
message ArrayValue { repeated AnyValue values = 1; }
message KeyValueList { repeated KeyValue values = 1; }
message KeyValue { string key = 1; AnyValue value = 2; }

enum PartialStatus { COMPLETE = 0; PARTIAL = 1; }

message TraceByIDResponse {
  optional bytes trace = 1;
  TraceByIDMetrics metrics = 2;
  PartialStatus status = 3;
  string message = 4;
}
message TraceByIDMetrics {
  uint64 inspectedBytes = 1;
  uint64 backendReads = 2;
  uint64 backendBytes = 3;
  map<string, int64> additionalMetrics = 4;
}

message SearchRequest {
  map<string, string> Tags = 1;
  uint32 MinDurationMs = 2;
  uint32 MaxDurationMs = 3;
  uint32 Limit = 4;
  uint32 start = 5;
  uint32 end = 6;
  string Query = 8;
  uint32 SpansPerSpanSet = 9;
  repeated string skipASTTransformations = 11;
}
message SearchResponse {
  repeated TraceSearchMetadata traces = 1;
  SearchMetrics metrics = 2;
}
message TraceSearchMetadata {
  string traceID = 1;
  string rootServiceName = 2;
  string rootTraceName = 3;
  uint64 startTimeUnixNano = 4;
  uint32 durationMs = 5;
  SpanSet spanSet = 6;
  repeated SpanSet spanSets = 7;
  map<string, ServiceStats> serviceStats = 8;
}
message ServiceStats { uint32 spanCount = 1; uint32 errorCount = 2; }
message SpanSet {
  repeated Span spans = 1;
  uint32 matched = 2;
  repeated KeyValue attributes = 3;
}
message Span {
  string spanID = 1;
  string name = 2;
  uint64 startTimeUnixNano = 3;
  uint64 durationNanos = 4;
  repeated KeyValue attributes = 5;
}
message SearchMetrics {
  uint32 inspectedTraces = 1;
  uint64 inspectedBytes = 2;
  uint32 totalBlocks = 3;
  uint32 completedJobs = 4;
  uint32 totalJobs = 5;
  uint64 totalBlockBytes = 6;
  uint64 inspectedSpans = 7;
  uint64 backendReads = 8;
  uint64 backendBytes = 9;
  map<string, int64> additionalMetrics = 10;
}

message SearchTagsRequest {
  string scope = 1;
  string query = 2;
  uint32 start = 3;
  uint32 end = 4;
  uint32 maxTagsPerScope = 5;
  uint32 staleValuesThreshold = 6;
}
message SearchTagsResponse { repeated string tagNames = 1; MetadataMetrics metrics = 2; }
message SearchTagsV2Response { repeated SearchTagsV2Scope scopes = 1; MetadataMetrics metrics = 2; }
message SearchTagsV2Scope { string name = 1; repeated string tags = 2; }
message SearchTagValuesRequest {
  string tagName = 1;
  string query = 2;
  uint32 start = 4;
  uint32 end = 5;
  uint32 maxTagValues = 6;
  uint32 staleValueThreshold = 7;
}
message SearchTagValuesResponse { repeated string tagValues = 1; MetadataMetrics metrics = 2; }
message TagValue { string type = 1; string value = 2; }
message SearchTagValuesV2Response { repeated TagValue tagValues = 1; MetadataMetrics metrics = 2; }
message MetadataMetrics {
  uint64 inspectedBytes = 1;
  uint32 totalJobs = 2;
  uint32 completedJobs = 3;
  uint32 totalBlocks = 4;
  uint64 totalBlockBytes = 5;
  uint64 backendReads = 6;
  uint64 backendBytes = 7;
  map<string, int64> additionalMetrics = 8;
}

message QueryInstantRequest { string query = 1; uint64 start = 2; uint64 end = 3; }
message QueryInstantResponse {
  repeated InstantSeries series = 1;
  SearchMetrics metrics = 2;
  PartialStatus status = 3;
  string message = 4;
}
message InstantSeries { repeated KeyValue labels = 1; double value = 2; }
message QueryRangeRequest {
  string query = 1;
  uint64 start = 2;
  uint64 end = 3;
  uint64 step = 4;
  uint32 exemplars = 16;
  uint32 maxSeries = 17;
  optional bool instant = 18;
  repeated string skipASTTransformations = 19;
}
message QueryRangeResponse {
  repeated TimeSeries series = 1;
  SearchMetrics metrics = 2;
  PartialStatus status = 3;
  string message = 4;
}
message Exemplar { repeated KeyValue labels = 1; double value = 2; int64 timestampMs = 3; }
message Sample { double value = 1; int64 timestampMs = 2; }
message TimeSeries {
  repeated KeyValue labels = 1;
  repeated Sample samples = 2;
  repeated Exemplar exemplars = 4;
}

message PushBytesRequest {
  repeated bytes traces = 2;
  repeated bytes ids = 3;
  bool skipMetricsGeneration = 5;
}
`
