internal import AccessLogs
internal import ArgumentParser
internal import Ingestion

/// The formats to try on a log: the user's own before the built-in ones.
struct FormatOptions: ParsableArguments {
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "A format of your own, as the proxy's configuration has it; may be repeated. @FILE takes every format from a file.",
      discussion: """
        Envoy: '[%START_TIME%] "%REQ(:METHOD)% ..." ...', or its json_format as JSON. nginx: '$remote_addr \
        [$time_local] ...'. Squid: '%ts.%03tu %6tr %>a ...'. @FILE: a mesh config or ConfigMap (accessLogFormat), an \
        Envoy or Telemetry resource, an nginx.conf (log_format), a squid.conf (logformat), or a file that holds one \
        format string.
        """,
      valueName: "string|@file"))
  var logFormat: [String] = []

  /// The user's formats first: they are preferred where a line fits several.
  func plans() throws -> [FormatPlan] {
    try logFormat.flatMap { try FormatArgument.plans($0) } + FormatPlan.builtIn
  }
}
