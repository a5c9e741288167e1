// swift-tools-version:6.1
import PackageDescription

/// A mesh that knows what its logs must be understood as, written as logs, read by Gatewatch, and compared:
///
///     swift run -c release --package-path Tests/SimulatedMesh simulated-mesh [--requests N] [--keep FOLDER]
///
/// A package of its own: it shares no line of code with the program that it judges.
let package = Package(
  name: "SimulatedMesh",
  targets: [.executableTarget(name: "simulated-mesh")],
  swiftLanguageModes: [.v6]
)

for target in package.targets {
  target.swiftSettings = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
  ]
}
