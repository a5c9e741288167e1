import ArgumentParser

@main
struct Gatewatch: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "gatewatch")
}
