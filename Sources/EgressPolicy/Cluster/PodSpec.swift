/// What a pod's spec tells of its proxy, and of the traffic that is redirected to it.
struct PodSpec {
  private(set) var node: String?
  private(set) var isHostNetwork = false
  /// The container `istio-proxy`: as whom it runs. Any container may have that name.
  private(set) var proxy: Identity?
  /// The first word after `proxy` in the arguments of `istio-proxy`: `sidecar`, `router`, `waypoint`. nil where `pilot-agent` is not
  /// told to be a proxy, as all templates of the injector have it.
  private(set) var proxyType: String?
  private(set) var hasInit = false
  /// What `istio-init` is called with, by the flag, or `istio-validation` where Istio's CNI plugin redirects the traffic.
  private(set) var initArguments: [String: String] = [:]
  /// As `istio-proxy` is told of it.
  private(set) var interceptionMode: String?
  /// As whom the containers of the workload itself run.
  private var workload: [Identity] = []
  /// What holds for containers that say nothing else.
  private var common = Identity()

  /// The numbers of a `securityContext`.
  struct Identity {
    var user: String?
    var group: String?

    mutating func read(_ reader: inout JSONReader) throws(JSONReader.Problem) {
      guard try reader.kind() == .object else { return try reader.skip() }
      try reader.members { reader, key throws(JSONReader.Problem) in
        switch key {
        case "runAsUser": user = try reader.optionalText()
        case "runAsGroup": group = try reader.optionalText()
        default: try reader.skip()
        }
      }
    }
  }

  private enum Part {
    case containers
    case initContainers
    case ephemeralContainers
  }

  mutating func read(_ reader: inout JSONReader) throws(JSONReader.Problem) {
    try reader.members { reader, key throws(JSONReader.Problem) in
      switch key {
      case "nodeName": node = try reader.optionalText()
      case "hostNetwork": isHostNetwork = try reader.flag()
      case "securityContext": try common.read(&reader)
      case "containers": try readContainers(&reader, .containers)
      case "initContainers": try readContainers(&reader, .initContainers)
      case "ephemeralContainers": try readContainers(&reader, .ephemeralContainers)
      default: try reader.skip()
      }
    }
  }

  private mutating func readContainers(_ reader: inout JSONReader, _ part: Part) throws(JSONReader.Problem) {
    try reader.elements { reader throws(JSONReader.Problem) in
      var (name, restarts, words): (String, Bool, [String]) = ("", false, [])
      var mode: String?
      var identity = Identity()
      try reader.members { reader, key throws(JSONReader.Problem) in
        switch key {
        case "name": name = try reader.text()
        case "restartPolicy": restarts = try reader.text() == "Always"
        // Istio before 1.7 gives istio-init its flags as the command.
        case "args", "command": words += try reader.texts()
        case "securityContext": try identity.read(&reader)
        case "env":
          try reader.elements { reader throws(JSONReader.Problem) in
            mode = try PodSpec.interceptionMode(&reader) ?? mode
          }
        default: try reader.skip()
        }
      }
      // an init container that restarts always runs as long as the pod: a native sidecar
      let isLasting = part == .containers || (part == .initContainers && restarts)
      if part == .initContainers, ["istio-init", "istio-validation"].contains(name) {
        hasInit = true
        for (flag, value) in zip(words, words.dropFirst()) where flag.hasPrefix("-") { initArguments[flag] = value }
      } else if isLasting, name == "istio-proxy" {
        proxy = identity
        interceptionMode = mode
        guard let place = words.firstIndex(of: "proxy") else { return }
        proxyType = words.dropFirst(place + 1).first.flatMap { $0.hasPrefix("-") ? nil : $0 } ?? "sidecar"
      } else {
        workload.append(identity)
      }
    }
  }
}

extension PodSpec {
  /// Of an entry of `env`: its value, if it is the one.
  private static func interceptionMode(_ reader: inout JSONReader) throws(JSONReader.Problem) -> String? {
    var (name, value): (String, String?) = ("", nil)
    try reader.members { reader, key throws(JSONReader.Problem) in
      switch key {
      case "name": name = try reader.text()
      case "value": value = try reader.optionalText()
      default: try reader.skip()
      }
    }
    return name == "ISTIO_META_INTERCEPTION_MODE" ? value : nil
  }
}

// MARK: - Whom the redirection spares

extension PodSpec {
  /// Containers of the workload that run as the proxy does: what the proxy's user or group sends is not redirected, for it would come
  /// back to the proxy for ever (istio.io "Application Requirements"; `--uid-owner` and `--gid-owner` in `tools/istio-iptables`).
  /// The rule asks for a process's own group: supplementary ones, as by `fsGroup`, do not count.
  var proxyIdentities: [String] {
    let told = numbers("-u")
    let users = told ?? [spared(proxy?.user)]
    // Without a group, istio-init takes the user's number for it.
    let groups = numbers("-g") ?? told ?? [spared(proxy?.group)]
    let words = workload.compactMap { container -> String? in
      if let user = container.user ?? common.user, users.contains(user) { return "proxy-uid=\(user)" }
      if let group = container.group ?? common.group, groups.contains(group) { return "proxy-gid=\(group)" }
      return nil
    }
    return Set(words).sorted()
  }

  private func numbers(_ flag: String) -> [String]? {
    let numbers = initArguments[flag]?.split(separator: ",").map(String.init) ?? []
    return numbers.isEmpty ? nil : numbers
  }

  /// Istio's CNI plugin goes by the `securityContext` of `istio-proxy`, which on OpenShift is of its namespace's range, unless that is
  /// root (`cni/pkg/plugin/sidecar_redirect.go`).
  private func spared(_ number: String?) -> String {
    guard let number, number != "0" else { return "1337" }
    return number
  }
}
