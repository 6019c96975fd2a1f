"""Programs of JavaScript, Ruby, PHP and Go that looked harmless and were not, and the ordinary ones beside them."""

from __future__ import annotations

import pytest

from services.approval.risk import CodeExecution, Level, assess

ASKING = [
    ("javascript", 'module.constructor._load("child_process").exec("rm -rf /")', Level.CRITICAL),
    ("javascript", 'require("module")._load("child_process").exec("rm -rf /")', Level.CRITICAL),
    ("javascript", 'import {$} from "bun"; await $`rm -rf /`', Level.CRITICAL),
    ("javascript", 'import "data:text/javascript,x()"', Level.HIGH),
    ("javascript", "import(`data:text/javascript,${x}`)", Level.HIGH),
    ("javascript", 'process.env.LD_PRELOAD="/tmp/x.so"', Level.MEDIUM),
    ("javascript", 'process.env["NODE_OPTIONS"]="--require /tmp/x"', Level.MEDIUM),
    ("javascript", 'require("/tmp/x.node")', Level.MEDIUM),
    ("javascript", 'import x from "/tmp/x.js"', Level.MEDIUM),
    ("javascript", 'require("child_process").fork("/tmp/x")', Level.MEDIUM),
    ("javascript", 'require("https").request({method:"DELETE",host:"x.example"})', Level.MEDIUM),
    ("javascript", "sequelize.sync({force:true})", Level.MEDIUM),
    ("javascript", "User.destroy({where:{},truncate:true})", Level.MEDIUM),
    ("javascript", "User.destroy({where:{}})", Level.MEDIUM),
    ("javascript", 'knex("users").del()', Level.MEDIUM),
    ("javascript", 'knex("users").truncate()', Level.MEDIUM),
    ("javascript", 's3.deleteObject({Bucket:"b",Key:"k"})', Level.MEDIUM),
    ("ruby", "<<`X`\nrm -rf /\nX\n", Level.CRITICAL),
    ("ruby", "puts(<<~`X`)\n  rm -rf /\nX\n", Level.CRITICAL),
    ("ruby", 'Kernel.instance_method(:system).bind(self).call("rm -rf /")', Level.CRITICAL),
    ("ruby", 'Kernel.instance_method(:system).bind_call(self, "rm -rf /")', Level.CRITICAL),
    ("ruby", 'Kernel.singleton_method(:system).call("rm -rf /")', Level.CRITICAL),
    ("ruby", 'IO.read("|rm -rf /")', Level.CRITICAL),
    ("ruby", 'IO.readlines("|rm -rf /")', Level.CRITICAL),
    ("ruby", 'IO.foreach("| rm -rf /") { |l| puts l }', Level.CRITICAL),
    ("ruby", "ERB.new(\"<%= system('rm -rf /') %>\").result", Level.CRITICAL),
    ("ruby", 'load "/tmp/x"', Level.MEDIUM),
    ("ruby", 'Rake::Task["db:drop"].invoke', Level.MEDIUM),
    ("ruby", 'Gem.install "x"', Level.MEDIUM),
    ("ruby", 'ENV["LD_PRELOAD"]="/tmp/x.so"', Level.MEDIUM),
    ("ruby", 'Net::HTTP.new("x").delete("/users/1")', Level.MEDIUM),
    ("php", '<?php use function system as s; s("rm -rf /");', Level.CRITICAL),
    ("php", '<?php use function exec; exec("rm -rf /");', Level.CRITICAL),
    ("php", '<?php iterator_apply($x, "system", ["rm -rf /"]);', Level.CRITICAL),
    ("php", '<?php $$a("x");', Level.MEDIUM),
    ("php", '<?php new $_GET["c"]($_GET["a"]);', Level.HIGH),
    ("php", "<?php $f='system'; echo <<<E\n{$f('rm -rf /')}\nE;\n", Level.CRITICAL),
    ("php", "<?php User::truncate();", Level.MEDIUM),
    (
        "go",
        'package main\n// #include <stdlib.h>\nimport "C"\nfunc main() { C.system(C.CString("rm -rf /")) }',
        Level.CRITICAL,
    ),
    ("go", "p, _ := os.FindProcess(1)\np.Kill()", Level.MEDIUM),
    ("go", "os.FindProcess(1).Kill()", Level.MEDIUM),
    ("go", "package main\nfunc main() { for { go main() } }", Level.HIGH),
]

ORDINARY = [
    ("javascript", 'process.env.NODE_OPTIONS = "--max-old-space-size=4096"'),
    ("javascript", 'process.env.ENV = "test"; process.env.PORT = 3000'),
    ("javascript", 'const t = require("bun:test"); const files = glob.sync("*.js", {dot: true})'),
    ("javascript", "const o = {force: true}; const a = items.map(x => x.id); tree.sync()"),
    ("javascript", 'import("./x.js").then(m => m.run())'),
    ("php", "<?php use App\\Model\\User as U; $f = fopen('a.txt', 'r'); echo fgets($f);"),
    ("ruby", 'h = {}; h["LD_PRELOAD"] = "x"; puts h'),
    ("javascript", 'const a = require("./a.js"); console.log(a.b)'),
    ("javascript", 'process.env.NODE_ENV = "test"'),
    ("javascript", 'import fs from "fs"; console.log(fs.readdirSync("."))'),
    ("javascript", 'require("https").request({method:"GET",host:"x.example"})'),
    ("javascript", "sequelize.sync()"),
    ("javascript", "const el = document.body; socket.destroy(); stream.destroy()"),
    ("javascript", "const p = require('child_process').fork('./worker.js')"),
    ("javascript", "User.destroy({where:{id: 5}})"),
    ("ruby", "puts <<X\nrm -rf /tmp is a command\nX\n"),
    ("ruby", 'puts IO.read("data.txt")'),
    ("ruby", 'puts ERB.new("<%= name %>").result'),
    ("ruby", 'load "./lib/x.rb"'),
    ("ruby", 'ENV["RAILS_ENV"] = "test"'),
    ("ruby", 'Rake::Task["test"].invoke'),
    ("ruby", "m = 5.method(:+); puts m.call(3)"),
    ("php", '<?php use function strlen as s; echo s("abc");'),
    ("php", '<?php $c = new DateTime("now"); echo $c->format("Y");'),
    ("php", "<?php $x = 3; echo <<<E\n{$x} apples\nE;\n"),
    (
        "go",
        'package main\nimport "fmt"\nfunc f() {}\nfunc main() { for i := 0; i < 3; i++ { go f() }; fmt.Println(1) }',
    ),
    ("go", "package main\nfunc serve() {}\nfunc main() { for { c := accept(); go serve(c) } }"),
]


@pytest.mark.parametrize(("language", "source", "level"), ASKING)
def test_what_acts_asks_a_person(language: str, source: str, level: Level) -> None:
    assessment = assess(CodeExecution(language, source))
    assert assessment.level >= level
    assert assessment.level != Level.UNKNOWN


@pytest.mark.parametrize(("language", "source"), ORDINARY)
def test_what_is_ordinary_stays_low(language: str, source: str) -> None:
    assert assess(CodeExecution(language, source)).level == Level.LOW
