# Node's version, npm packages, the build, and the guests' builds. To be sourced after common.sh.

check_node() {
  have node || die "Node.js >= 20.19 is needed, and there is no node on PATH"
  have npm || die "npm is needed, and there is none on PATH"
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    die "Node.js >= 20.19 is needed, this is $(node --version)"
}

install_npm_packages() {
  if node "$root/script/lib/npm-current.mjs" "$root"; then return 0; fi
  local log=$cache/npm-ci.log
  say "installing npm packages"
  if ! npm ci --no-audit --no-fund >"$log" 2>&1; then
    grep '^npm error' "$log" | head -n 8 >&2
    problem "npm ci failed (all of it in ${log#"$root"/})"
  fi
}

# Built into a folder of its own and swapped in, so dist/ is never half a build.
build() {
  local log=$cache/build.log new=$cache/dist.new stamp
  stamp=$({ find src -type f -printf '%p %s %T@\n' | sort; cat tsconfig.json tsconfig.build.json tsconfig.client.json script/build.mjs script/lib/start.cjs script/lib/code-cache.cjs script/lib/rehearsal.cjs package-lock.json; node --version; } | sha256sum)
  if [ -e dist/cli/main.cjs ] && [ "$(cat dist/.stamp 2>/dev/null)" = "$stamp" ]; then return 0; fi
  say "building"
  rm -rf "$new"
  if ! node script/build.mjs "$new" >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    problem "the build failed (all of it in ${log#"$root"/})"
    return 0
  fi
  echo "$stamp" >"$new/.stamp"
  rm -rf "$cache/dist.old"
  if [ -e dist ]; then mv dist "$cache/dist.old"; fi
  mv "$new" dist
  rm -rf "$cache/dist.old"
}

build_guests() {
  local guest missing
  for guest in "$@"; do
    # Said already, with what installs them.
    missing=$(missing_packages "${guest_needs[@]}")
    if [ "$guest" = linux ] && [ -n "${missing// /}" ]; then
      say "the linux guest is not built: it takes ${missing% }"
      continue
    fi
    "$root/test/guests/build" "$guest" || problem "the test guest '$guest' could not be built"
  done
}
