// swift-tools-version:6.1
import PackageDescription

/// Gatewatch measured against the machine's own ceilings, as whole processes:
///
///     swift run -c release --package-path Tests/Benchmarks benchmarks [--quick]
///
/// A package of its own, so that building and testing Gatewatch never needs a C compiler or gigabytes of data.
let package = Package(
  name: "Benchmarks",
  targets: [.executableTarget(name: "benchmarks")],
  swiftLanguageModes: [.v6]
)

for target in package.targets {
  target.swiftSettings = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
  ]
}
