"""The same deed under other names: whatever a language lets a name, a value or a call look like."""

from __future__ import annotations

import pytest

from services.approval.risk import CodeExecution, Level, assess

# fmt: off
# ruff: noqa: E501  a program is a line
DISGUISED = [
    ('javascript', "globalThis['ev'+'al'](x)"),
    ('javascript', "process['mainModule']['require']('child_process')['exec']('rm -rf /')"),
    ('javascript', "eval?.('rm')"),
    ('javascript', "import('child_'+'process').then(m => m.exec('rm -rf /'))"),
    ('javascript', "const e = (() => require('child_process'))(); e.exec('rm -rf /')"),
    ('javascript', "const {default: {execSync}} = await import('child_process'); execSync('rm -rf /')"),
    ('javascript', "let f; f = require('fs').rmSync; f('/', {recursive:true})"),
    ('javascript', "const a = [require('child_process').exec]; a[0]('rm -rf /')"),
    ('javascript', "['rm -rf /'].forEach(c => require('child_process').execSync(c))"),
    ('javascript', "for (const c of ['ls','rm -rf /']) require('child_process').execSync(c)"),
    ('javascript', "const cmd = true ? 'rm -rf /' : 'ls'; require('child_process').execSync(cmd)"),
    ('javascript', "require('child_process').exec(`${'rm'} ${['-rf','/'].join(' ')}`)"),
    ('javascript', "var cp=require('child_process');with(cp){exec('rm -rf /')}"),
    ('javascript', "Object.assign({}, require('child_process')).exec('rm -rf /')"),
    ('javascript', "const m = {...require('child_process')}; m.exec('rm -rf /')"),
    ('javascript', "class A extends require('events') { constructor() { super(); require('child_process').exec('rm -rf /') } }"),
    ('javascript', "export default () => require('child_process').exec('rm -rf /')"),
    ('typescript', "const x: any = require('child_process') as any; (x as any).exec('rm -rf /')"),
    ('ruby', "Kernel::system('rm -rf /')"),
    ('ruby', "::Kernel.system('rm -rf /')"),
    ('ruby', "Process::spawn('rm -rf /')"),
    ('ruby', "alias run system\nrun 'rm -rf /'"),
    ('ruby', "['rm -rf /'].each { |c| system c }"),
    ('ruby', "x = :system\nsend(x, 'rm -rf /')"),
    ('ruby', "Object.new.instance_eval { system 'rm -rf /' }"),
    ('ruby', "m = Kernel.method(:system)\nm.('rm -rf /')"),
    ('ruby', "m = method(:system)\nm['rm -rf /']"),
    ('ruby', 'system "\\x72m -rf /"'),
    ('ruby', "IO.popen(['rm', '-rf', '/'])"),
    ('ruby', "exec ['rm', 'x'], '-rf', '/'"),
    ('ruby', "system({'A' => 'b'}, 'rm -rf /')"),
    ('ruby', "BEGIN { system 'rm -rf /' }"),
    ('ruby', "at_exit { system 'rm -rf /' }"),
    ('ruby', 'puts "#{system(\'rm -rf /\')}"'),
    ('php', "<?php 'system'('rm -rf /');"),
    ('php', "<?php ('sys'.'tem')('rm -rf /');"),
    ('php', "<?php Closure::fromCallable('system')('rm -rf /');"),
    ('php', "<?php $a = ['system']; $a[0]('rm -rf /');"),
    ('php', "<?php $o->{'x'} = 'system'; ($o->x)('rm -rf /');"),
    ('php', "<?php foreach (['ls', 'rm -rf /'] as $c) { exec($c); }"),
    ('php', "<?php $f = fn($c) => system($c); $f('rm -rf /');"),
    ('php', "<?php class A { static $f = 'system'; } (A::$f)('rm -rf /');"),
    ('php', "<?php define('C', 'system'); (C)('rm -rf /');"),
    ('php', "<?php const C = 'rm -rf /'; system(C);"),
    ('php', "<?php SYSTEM('rm -rf /');"),
    ('php', '<?= `rm -rf /` ?>'),
    ('php', "<?php array_map(fn($x) => unlink($x), glob('/home/*'));"),
    ('go', 'f := os.RemoveAll; f("/")'),
    ('go', 'package main\nimport "os"\ntype A struct { f func(string) error }\nfunc main() { a := A{f: os.RemoveAll}; a.f("/") }'),
    ('go', 'package main\nimport "os/exec"\nfunc main() { run := exec.Command; run("rm", "-rf", "/").Run() }'),
    ('go', 'for _, c := range []string{"ls", "rm -rf /"} { exec.Command("sh", "-c", c).Run() }'),
    ('go', 'defer os.RemoveAll("/home")'),
    ('go', 'exec.Command("sh", []string{"-c", "rm -rf /"}...).Run()'),
    ('go', 'a := exec.Command("rm"); a.Args = append(a.Args, "-rf", "/"); a.Run()'),
    ('sql', 'DROP/**/TABLE x'),
    ('sql', 'dElEtE\tFrOm\xa0t'),
    ('sql', 'DELETE FROM t WHERE id = 1 OR 1=1'),
    ('sql', 'DELETE FROM t WHERE COALESCE(1,0)=1'),
    ('sql', 'DELETE FROM t WHERE id IN (SELECT id FROM t)'),
    ('sql', 'UPDATE t SET a=1 WHERE EXISTS (SELECT 1)'),
    ('sql', "DELETE FROM t WHERE 2>1 AND 'x'='x'"),
    ('sql', "SELECT 1 UNION SELECT pg_read_file('/etc/passwd')"),
    ('sql', 'CREATE TABLE x AS SELECT * FROM pg_shadow'),
    ('sql', "INSERT INTO t SELECT load_file('/etc/passwd')"),
    ('sql', 'DELETE FROM t WHERE id IS NULL OR id IS NOT NULL'),
    ('sql', "SET @q = 'DROP TABLE x'; PREPARE s FROM @q; EXECUTE s"),
    ('sql', 'DELETE a, b FROM a JOIN b'),
    ('sql', 'DELETE FROM t WHERE id >= 0'),
    ('sql', 'DELETE FROM t WHERE 1'),
]
# fmt: on


@pytest.mark.parametrize(("language", "code"), DISGUISED)
def test_no_disguise_is_low(language: str, code: str) -> None:
    found = assess(CodeExecution(language, code))
    assert found.level >= Level.MEDIUM, found.factors
    assert found.level is not Level.UNKNOWN, found.factors
