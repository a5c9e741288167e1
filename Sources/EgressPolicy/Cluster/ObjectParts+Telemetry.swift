internal import Flows

/// A Telemetry of Istio: which lines of what pods send it keeps out of their logs.
///
/// Source: istio.io/latest/docs/reference/config/telemetry (AccessLogging: `match.mode` CLIENT is what a workload sends, SERVER what
/// it receives, and without a mode both are meant; `filter.expression` lets the lines pass of which it is true; `selector` selects in
/// the Telemetry's own namespace; `targetRefs` name gateways and waypoints, no pods with a sidecar).
extension ObjectParts {
  func telemetry() throws(Problem) -> ClusterObject {
    let metadata = try metadata()
    var object = ClusterObject(.telemetry, metadata)
    object.startedMs = metadata.createdMs
    var entries: [AccessLogging] = []
    try members(of: "spec") { reader, key throws(Problem) in
      switch (key, try reader.kind()) {
      case ("selector", .object):
        try reader.members { reader, key throws(Problem) in
          if key == "matchLabels" { object.labels = try reader.textsByName() } else { try reader.skip() }
        }
      case ("targetRef", .object):
        object.traits.append("has-target")
        try reader.skip()
      case ("targetRefs", .array):
        try reader.elements { reader throws(Problem) in
          object.traits.append("has-target")
          try reader.skip()
        }
      case ("accessLogging", .array):
        try reader.elements { reader throws(Problem) in entries.append(try AccessLogging(&reader)) }
      default: try reader.skip()
      }
    }
    let sent = entries.filter { $0.mode != "SERVER" }
    if sent.contains(where: \.isDisabled) { object.traits.append("outbound-off") }
    for entry in sent where !entry.isDisabled {
      object.traits.append(entry.filter.isEmpty ? "outbound-on" : "outbound-filter=" + bounded(entry.filter))
    }
    // Somebody named what pods receive, and left what they send to others.
    if sent.isEmpty, entries.contains(where: { !$0.isDisabled }) { object.traits.append("inbound-only") }
    object.traits = bounded(Array(Set(object.traits)).sorted())
    return object
  }
}

private struct AccessLogging {
  var mode = "CLIENT_AND_SERVER"
  var isDisabled = false
  /// An expression of CEL; empty where all lines pass.
  var filter = ""

  init(_ reader: inout JSONReader) throws(JSONReader.Problem) {
    try reader.members { reader, key throws(JSONReader.Problem) in
      switch key {
      case "disabled": isDisabled = try reader.flag()
      case "match":
        try reader.members { reader, key throws(JSONReader.Problem) in
          if key == "mode" { mode = try reader.text() } else { try reader.skip() }
        }
      case "filter":
        try reader.members { reader, key throws(JSONReader.Problem) in
          if key == "expression" { filter = try reader.text() } else { try reader.skip() }
        }
      default: try reader.skip()
      }
    }
  }
}
