/**
 * Starts a built program: one file, which V8 need not compile again, for the build kept what it made of it. Copied into dist/.
 *
 * The cache is of one version of node and one set of V8's flags: under any other V8 refuses it, and compiles.
 */
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const { dirname } = require("node:path");
const { Script } = require("node:vm");

/** @param {string} file the program, a CommonJS module of ASCII text @returns what it exports */
function load(file) {
  return compile(file).run();
}

/** @returns the script, and what runs it and returns its exports */
function compile(file) {
  const source = readFileSync(file, "latin1");
  const script = new Script(`(function (exports, require, module, __filename, __dirname) {${source}\n})`, {
    filename: file,
    cachedData: cacheOf(file),
  });
  const run = () => {
    const module = { exports: {} };
    script.runInThisContext()(module.exports, createRequire(file), module, file, dirname(file));
    return module.exports;
  };
  return { script, run };
}

function cacheOf(file) {
  try {
    return readFileSync(`${file}.cache`);
  } catch {
    return undefined;
  }
}

module.exports = { load, compile };
