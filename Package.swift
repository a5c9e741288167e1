// swift-tools-version:6.1
import PackageDescription

/// Optimised in a debug build, too: tests put millions of lines and rows through these, and most of their time would go into
/// what the program that is shipped does not do. Overflows and bounds are checked all the same.
let optimised: [SwiftSetting] = [.unsafeFlags(["-O"], .when(configuration: .debug))]

/// The house has four floors and arrows only point down; `Tests/ArchitectureTests` holds them.
///
///     floor 4   gatewatch
///     floor 3   Ingestion      Reports
///     floor 2   AccessLogs     EgressPolicy     Journeys     FlowStore
///     floor 1   Flows
let package = Package(
  name: "Gatewatch",
  products: [
    .executable(name: "gatewatch", targets: ["gatewatch"])
  ],
  dependencies: [
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    .target(name: "Flows"),
    .target(name: "AccessLogs", dependencies: ["CLanes", "Flows"], swiftSettings: optimised),
    .target(name: "Journeys", dependencies: ["Flows"], swiftSettings: optimised),
    .target(name: "EgressPolicy", dependencies: ["Flows", .product(name: "Yams", package: "Yams")]),
    .target(
      name: "FlowStore",
      dependencies: [
        "Flows", "CMalloc", .product(name: "GRDB", package: "GRDB.swift"),
        .product(name: "GRDBSQLite", package: "GRDB.swift"),
      ],
      swiftSettings: optimised, plugins: ["EmbedQueries"]),
    .target(
      name: "Ingestion",
      dependencies: [
        "AccessLogs", "EgressPolicy", "FlowStore", "Flows", "Journeys", "CISAL", "CLanes", "CZlib",
        .product(name: "Yams", package: "Yams"),
      ]),
    .target(name: "Reports", dependencies: ["FlowStore", "Flows"], plugins: ["EmbedQueries"]),
    .executableTarget(
      name: "gatewatch",
      dependencies: [
        "AccessLogs", "EgressPolicy", "FlowStore", "Flows", "Ingestion", "Reports",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Yams", package: "Yams"),
      ]),
    .systemLibrary(name: "CISAL", providers: [.apt(["libisal-dev"])]),
    .systemLibrary(name: "CMalloc"),
    .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CLanes"),
    .executableTarget(name: "embed-queries"),
    .plugin(
      name: "EmbedQueries", capability: .buildTool(), dependencies: ["embed-queries"],
      path: "Sources/EmbedQueries"),
    .testTarget(name: "FlowsTests", dependencies: ["Flows"]),
    .testTarget(name: "AccessLogsTests", dependencies: ["AccessLogs", "Flows"], exclude: ["Fixtures"]),
    .testTarget(name: "EgressPolicyTests", dependencies: ["EgressPolicy", "Flows"], exclude: ["Policies"]),
    .testTarget(name: "JourneysTests", dependencies: ["Journeys", "Flows"]),
    .testTarget(
      name: "FlowStoreTests",
      dependencies: [
        "FlowStore", "Flows", .product(name: "GRDB", package: "GRDB.swift"),
        .product(name: "GRDBSQLite", package: "GRDB.swift"),
      ]),
    .testTarget(
      name: "IngestionTests",
      dependencies: ["Ingestion", "AccessLogs", "EgressPolicy", "FlowStore", "Flows", "CZlib"]),
    .testTarget(name: "ReportsTests", dependencies: ["Reports", "FlowStore", "Flows"], exclude: ["Snapshots"]),
    .testTarget(name: "ArchitectureTests"),
    .testTarget(
      name: "EndToEndTests",
      dependencies: ["gatewatch", "AccessLogs", "EgressPolicy", "FlowStore", "Flows", "Ingestion"],
      exclude: ["Clusters"]),
  ],
  swiftLanguageModes: [.v6]
)

for target in package.targets where target.type != .system && target.type != .plugin {
  target.swiftSettings =
    (target.swiftSettings ?? []) + [
      .enableUpcomingFeature("ExistentialAny"),
      .enableUpcomingFeature("MemberImportVisibility"),
      .enableUpcomingFeature("InternalImportsByDefault"),
    ]
}
