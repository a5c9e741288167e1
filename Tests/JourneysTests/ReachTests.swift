import Foundation
import Journeys
import Testing

/// How far reports and explanations look around a hop for the others of its way, held against how far joining reaches: none of
/// them can ask `JoinLimits`, and one that looked less far would lose hops.
@Suite struct ReachTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  private static let reach = JoinLimits.influenceMs / 60_000

  private func minutes(_ pattern: String, in file: String) throws -> [Int64] {
    let text = try String(contentsOf: Self.root.appending(path: file), encoding: .utf8)
    return try text.matches(of: Regex<(Substring, Substring)>(pattern)).compactMap { Int64($0.1) }
  }

  @Test("reports look around the start of a way as many minutes as joining reaches", arguments: ["journeys", "hops"])
  func reports(name: String) throws {
    #expect(JoinLimits.influenceMs % 60_000 == 0)
    let around = try minutes(#"started_at_ms / 60000 [-+] (\d+)"#, in: "Queries/Reports/\(name).sql")
    #expect(around == [Self.reach, Self.reach], "\(name).sql and JoinLimits.influenceMs")
  }

  @Test("explain looks a minute further, for it begins at any hop")
  func explanation() throws {
    let around = try minutes(
      #"minutesAround = (\d+)"#, in: "Sources/gatewatch/Explaining/JourneyExplanation.swift")
    #expect(around == [Self.reach + 1], "JourneyExplanation.minutesAround and JoinLimits.influenceMs")
  }
}
