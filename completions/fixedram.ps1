# PowerShell completions for fixedram; made by `fixedram completions powershell`
Register-ArgumentCompleter -Native -CommandName fixedram -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $options = @{
    'save' = @('--qmp', '--mode', '--then', '--max-bandwidth', '--max-time', '--max-rounds', '--on-limit', '--transport', '--direct-io', '--socket-dir', '--view', '--listen', '--no-open', '--force', '--json', '--quiet', '-q', '--help', '-h')
    'resume' = @('--qmp', '--lazy', '--paused', '--run-recorded', '--verify', '--id', '--socket-dir', '--force', '--prefetch', '--around', '--push-rate', '--events', '--view', '--listen', '--no-open', '--offset', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'clone' = @('--count', '-n', '--overlay-dir', '--paused', '--run-recorded', '--verify', '--id', '--socket-dir', '--prefetch', '--around', '--push-rate', '--force', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'recover' = @('--qmp', '--verify', '--around', '--push-rate', '--force', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'info' = @('--keep-index', '--offset', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'map' = @('--block', '--width', '--keep-index', '--offset', '--big-endian', '--little-endian', '--export', '--json', '--quiet', '-q', '--help', '-h')
    'view' = @('--listen', '--no-open', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'verify' = @('--deep', '--id', '--offset', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'seal' = @('--offset', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'repair' = @('--json', '--quiet', '-q', '--help', '-h')
    'convert' = @('--to', '--xml', '--force', '--offset', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'diff' = @('--hex', '--pages-out', '--trust-seals', '--keep-index', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'export' = @('--format', '--map', '--force', '--keep-index', '--offset', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'read' = @('--block', '--physical', '--virtual', '--cpu', '--map', '--hex', '--raw', '--u64', '--string', '--keep-index', '--offset', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'translate' = @('--cpu', '--map', '--keep-index', '--offset', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'search' = @('--as-hex', '--regex', '--utf16', '--ignore-case', '-i', '--block', '--limit', '--map', '--keep-index', '--offset', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'strings' = @('--min', '--utf16', '--block', '--limit', '--map', '--keep-index', '--offset', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'devices' = @('--instance', '--full', '--keep-index', '--offset', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'cpus' = @('--cpu', '--keep-index', '--offset', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'gdb' = @('--port', '--stdio', '--once', '--map', '--keep-index', '--offset', '--big-endian', '--little-endian', '--json', '--quiet', '-q', '--help', '-h')
    'doctor' = @('--json', '--quiet', '-q', '--help', '-h')
    'completions' = @('--json', '--quiet', '-q', '--help', '-h')
  }
  $choices = @{
    'save --mode' = @('stop', 'live', 'background')
    'save --then' = @('resume', 'pause', 'quit')
    'save --on-limit' = @('stop', 'abort')
    'save --transport' = @('auto', 'stream', 'multifd', 'mapped-ram')
    'save --direct-io' = @('auto', 'on', 'off')
    'convert --to' = @('fixed-ram', 'stream', 'libvirt-sparse', 'raw')
    'export --format' = @('elf', 'kdump', 'lime', 'raw')
    'completions' = @('bash', 'zsh', 'fish', 'powershell')
  }
  $before = @($commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { "$_" })
  if ($before -contains '--') { return }
  $command = @($before | Select-Object -Skip 1 | Where-Object { $_ -notlike '-*' })[0]
  $offers = if (-not $command) { @('save', 'resume', 'clone', 'recover', 'info', 'map', 'view', 'verify', 'seal', 'repair', 'convert', 'diff', 'export', 'read', 'translate', 'search', 'strings', 'devices', 'cpus', 'gdb', 'doctor', 'completions', 'help', '--version', '-V', '--help', '-h') }
    elseif ($choices.ContainsKey("$command $($before[-1])")) { $choices["$command $($before[-1])"] }
    elseif ($wordToComplete -like '-*') { $options[$command] }
    else { $choices[$command] }
  $offers | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
  }
}
