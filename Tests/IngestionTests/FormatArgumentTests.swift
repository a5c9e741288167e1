import AccessLogs
import Testing

@testable import Ingestion

/// Where the formats behind `--log-format` come from.
@Suite struct FormatArgumentTests {
  private func plans(_ text: String) throws -> [FormatPlan] {
    try FormatArgument.plans(inFile: text, path: "config")
  }

  @Test("a format string is told by its language")
  func strings() throws {
    #expect(try FormatArgument.plans("[%START_TIME%] %PROTOCOL% %DURATION%").map(\.dialect) == [.envoy])
    #expect(
      try FormatArgument.plans("$remote_addr [$time_local] $protocol $status $session_time").map(\.dialect) == [
        .nginxStream
      ])
    #expect(try FormatArgument.plans("%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru").map(\.dialect) == [.squid])
  }

  @Test("a mesh config gives its accessLogFormat, also inside of the ConfigMap that carries it")
  func meshConfig() throws {
    let config = "accessLogFile: /dev/stdout\naccessLogFormat: '[%START_TIME%] %PROTOCOL% %DURATION%'\n"
    let plan = try #require(try plans(config).first)
    #expect(plan.source == "[%START_TIME%] %PROTOCOL% %DURATION%")
    #expect(plan.about == "access log format in config:2")
    let indented = config.split(separator: "\n").map { "    " + $0 }.joined(separator: "\n")
    let map = "apiVersion: v1\nkind: ConfigMap\ndata:\n  mesh: |\n\(indented)\n"
    #expect(try plans(map).map(\.source) == [plan.source])
  }

  @Test("an access log provider gives its text, or its labels as JSON")
  func providers() throws {
    let found = try plans(
      """
      extensionProviders:
      - name: text
        envoyFileAccessLog:
          logFormat:
            text: "[%START_TIME%] %PROTOCOL%"
      - name: labels
        envoyFileAccessLog:
          logFormat:
            labels: { start: "%START_TIME%", flags: "%RESPONSE_FLAGS%" }
      """)
    #expect(found.map(\.name) == ["mesh", "mesh-2"])
    #expect(found.last?.source == #"{"flags":"%RESPONSE_FLAGS%","start":"%START_TIME%"}"#)
  }

  @Test("labels that are no log format are left alone")
  func foreignLabels() {
    #expect(MeshConfig.formats(in: "metadata:\n  labels:\n    app: \"%START_TIME%\"\n") == [])
  }

  @Test("Envoy's own configuration gives text_format, json_format and inline_string; one format once")
  func envoy() throws {
    let found = try plans(
      """
      access_log:
      - typed_config:
          log_format: { text_format_source: { inline_string: "[%START_TIME%] %DURATION%" } }
      - typed_config:
          format: { json_format: { start: "%START_TIME%" } }
      - typed_config: { text_format: "[%START_TIME%] %DURATION%" }
      """)
    #expect(found.count == 2)
  }

  @Test("an nginx.conf gives each log_format, a squid.conf each logformat, by name and line")
  func proxies() throws {
    let nginx = try plans("stream {\n  log_format short '$remote_addr [$time_local] '\n    '$protocol $status';\n}\n")
    #expect(nginx.map { "\($0.name) \($0.dialect) \($0.about)" } == ["short nginxStream log_format in config:2"])
    let squid = try plans("# a comment\nlogformat mine %ts.%03tu %>a %Ss/%03>Hs %ru\n")
    #expect(squid.map { "\($0.name) \($0.dialect) \($0.about)" } == ["mine squid logformat in config:2"])
  }

  @Test("a file may be one format string and nothing else")
  func bareString() throws {
    #expect(try plans("[%START_TIME%] %PROTOCOL%\n").map(\.source) == ["[%START_TIME%] %PROTOCOL%"])
  }

  @Test("a file without a format says what was looked for")
  func nothing() {
    #expect { try plans("accessLogFile: /dev/stdout\n") } throws: { "\($0)".contains("config: holds no format") }
    #expect { try FormatArgument.plans("@no-such-file") } throws: { "\($0)".hasPrefix("no-such-file: cannot be read") }
  }

  @Test("a format that is wrong is shown with its file")
  func wrongFormat() {
    #expect { try plans("accessLogFormat: '%START_TIM%'\n") } throws: { "\($0)".contains("config") }
  }
}
