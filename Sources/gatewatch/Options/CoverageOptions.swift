internal import ArgumentParser
internal import FlowStore
internal import Reports

/// What must have been read for an answer to count.
struct CoverageOptions: ParsableArguments {
  @Option(
    name: .customLong("require-coverage"), parsing: .singleValue,
    help: ArgumentHelp(
      "Exit with 3 unless these logs cover the time asked about; may be repeated.",
      discussion: """
        role=gateway,max-gap=15m: lines of gateways, with no silence of more than 15 minutes between the first and the last \
        line of any log (or --since and --until; alert looks at the last day). Also within=7d (until now), log=GLOB, max-silence=1h (until now), max-rejected=1%, and \
        clients=logged: no client at a gateway or proxy without a log of its own; sidecars=read: no pod with a sidecar, by the \
        imported topology, of which no line was read, and none that ztunnel carries; next-hops=read: no flow handed on to a gateway or proxy whose log was not \
        read for its time (next-hops=found: nor to one whose log does not tell of it).
        """,
      valueName: "spec"))
  var requirements: [String] = []

  func parsed() throws(ReportError) -> [CoverageRequirement] {
    var parsed: [CoverageRequirement] = []
    for text in requirements { parsed.append(try CoverageRequirement(parsing: text)) }
    return parsed
  }

  func validate() throws {
    do { _ = try parsed() } catch { throw ValidationError("\(error)") }
  }
}
