"""What the functions of JavaScript, of its run-times and of its common packages do: the tables that its reader looks calls up in."""

from __future__ import annotations

from services.approval.risk.languages.reader import table

CALLS = table(
    list="fs.readdir fs.readdirSync fs.opendir fs.opendirSync glob glob.sync glob.globSync fast-glob fast-glob.sync globby Deno.readDir Deno.readDirSync",
    shell="child_process.exec child_process.execSync shelljs.exec execa.command execa.commandSync execa.execaCommand execa.execaCommandSync execSync Bun.$ zx.$ "
          "execa.$ node-cmd.run node-cmd.runSync exec-sh child-process-promise.exec sudo-prompt.exec",
    program="child_process.execFile child_process.execFileSync child_process.spawn child_process.spawnSync execa execa.execa execa.execaSync execa.sync spawnSync execFileSync "
            "cross-spawn.sync Bun.spawn Bun.spawnSync Deno.run Deno.Command node-pty.spawn child-process-promise.spawn tinyexec.x tinyexec.exec nano-spawn",
    module="child_process.fork cluster.fork worker_threads.Worker Worker",
    code="eval Function vm.runInNewContext vm.runInThisContext vm.runInContext vm.Script vm.compileFunction vm.SourceTextModule vm2.VM.run execScript "
         "GeneratorFunction AsyncFunction module._compile m._compile",
    timer="setTimeout setInterval setImmediate",
    delete="fs.unlink fs.unlinkSync fs.rm fs.rmSync fs.rmdir fs.rmdirSync fs.truncate fs.truncateSync fs.ftruncate fs.ftruncateSync fs.remove fs.removeSync fs.emptyDir fs.emptyDirSync "
           "rimraf rimraf.sync rimraf.rimraf rimraf.rimrafSync del del.sync del.deleteAsync del.deleteSync trash Deno.remove Deno.removeSync Deno.truncate shelljs.rm",
    write="fs.writeFile fs.writeFileSync fs.appendFile fs.appendFileSync fs.createWriteStream fs.outputFile fs.outputFileSync fs.writeJson fs.writeJsonSync fs.outputJson Deno.writeFile "
          "Deno.writeTextFile Deno.writeTextFileSync Deno.writeFileSync Bun.write fs.mkdir fs.mkdirSync fs.ensureDir fs.ensureDirSync fs.mkdirp shelljs.mkdir",
    copy="fs.copyFile fs.copyFileSync fs.rename fs.renameSync fs.cp fs.cpSync fs.copy fs.copySync fs.move fs.moveSync fs.symlink fs.symlinkSync fs.link fs.linkSync shelljs.cp shelljs.mv Deno.rename Deno.copyFile",
    read="fs.readFile fs.readFileSync fs.createReadStream fs.readJson fs.readJsonSync fs.readJSON Deno.readTextFile Deno.readTextFileSync Deno.readFile Bun.file shelljs.cat fs.open fs.openSync fs.openAsBlob",
    permissions="fs.chmod fs.chmodSync fs.chown fs.chownSync fs.lchown Deno.chmod shelljs.chmod",
    fetch="axios.get axios.head got got.get needle.get superagent.get ky.get ky request request.get undici.fetch https.get http.get $.get $.getJSON jQuery.get download-file bent",
    request="fetch axios axios.request http.request https.request undici.request http2.connect $.ajax jQuery.ajax needle",
    send="axios.post axios.put axios.patch axios.delete got.post got.put got.patch needle.post superagent.post superagent.put ky.post request.post request.put request.delete navigator.sendBeacon $.post jQuery.post "
         "needle.put",
    sent="dns.lookup dns.resolve dns.resolve4 dns.resolveTxt Image http.request().write https.request().write http.request().end https.request().end net.connect().write net.createConnection().write "
         "net.Socket().write tls.connect().write WebSocket().send ws().send dgram.createSocket().send XMLHttpRequest().send io().emit socket.io-client().emit ftp().put basic-ftp.Client().uploadFrom form-data().append FormData().append",
    socket="net.connect net.createConnection net.Socket net.createServer net.Server dgram.createSocket tls.connect tls.createServer Deno.listen Deno.connect Bun.listen Bun.connect ssh2.Client raw-socket.createSocket",
    websocket="WebSocket ws ws.WebSocket EventSource io socket.io-client socket.io-client.io",
    mail="nodemailer.createTransport().sendMail",
    money="stripe().charges.create stripe().charges.capture stripe().refunds.create stripe().payouts.create stripe().transfers.create "
          "stripe().paymentIntents.create stripe().paymentIntents.confirm stripe().paymentIntents.capture stripe().subscriptions.create stripe().invoices.pay "
          "stripe().invoices.create stripe().topups.create stripe.Stripe().charges.create stripe.Stripe().charges.capture stripe.Stripe().refunds.create "
          "stripe.Stripe().payouts.create stripe.Stripe().transfers.create stripe.Stripe().paymentIntents.create stripe.Stripe().paymentIntents.confirm "
          "stripe.Stripe().paymentIntents.capture stripe.Stripe().subscriptions.create stripe.Stripe().invoices.pay stripe.Stripe().invoices.create "
          "stripe.Stripe().topups.create stripe.charges.create stripe.charges.capture stripe.refunds.create stripe.payouts.create stripe.transfers.create "
          "stripe.paymentIntents.create stripe.paymentIntents.confirm stripe.paymentIntents.capture stripe.subscriptions.create stripe.invoices.pay "
          "stripe.invoices.create stripe.topups.create paypal-rest-sdk.payment.create paypal-rest-sdk.payout.create razorpay().payments.capture "
          "razorpay().payments.refund razorpay().refunds.create razorpay().transfers.create braintree.BraintreeGateway().transaction.sale "
          "braintree.BraintreeGateway().transaction.refund square.Client().paymentsApi.createPayment square.Client().refundsApi.refundPayment "
          "@adyen/api-library.CheckoutAPI().payments",
    native="process.binding process.dlopen process._linkedBinding ffi-napi.Library ffi.Library koffi.load Deno.dlopen bun:ffi.dlopen",
    privilege="process.setuid process.setgid process.seteuid process.setegid process.setgroups process.initgroups posix.setuid",
    kill="process.kill",
    deserialise="node-serialize.unserialize serialize-javascript.deserialize funcster.deepDeserialize v8.deserialize",
    decode="Buffer.from atob buffer.Buffer.from Buffer js-base64.decode js-base64.Base64.decode unescape decodeURIComponent",
    environment="process.env.valueOf Deno.env.toObject",
    print="console.log console.error console.info console.warn console.dir console.table JSON.stringify Object.entries Object.values process.stdout.write util.inspect",
    home="os.homedir homedir",
    require="require import _load constructor._load Module._load module.require module.createRequire() import.meta.require requireActual jest.requireActual",
    promisified="util.promisify promisify util.callbackify pify Bluebird.promisify Promise.promisify util.deprecate",
    input="iohook.on uiohook-napi.uIOhook.on desktop-capturer screenshot-desktop node-key-sender robotjs.screen.capture navigator.mediaDevices.getDisplayMedia",
    flush="redis.createClient().flushAll redis.createClient().flushall ioredis().flushall ioredis().flushdb redis.createClient().flushDb",
    delete_many="knex().del knex().delete knex().truncate knex()().del knex()().delete knex()().truncate",
    drop="mongoose.connection.dropDatabase mongoose.connection.db.dropDatabase sequelize.drop",
)  # fmt: skip
METHODS = table(
    shell="execSync", program="spawnSync execFileSync", delete="unlinkSync rmSync rmdirSync rmdirRecursive", write="writeFileSync appendFileSync",
    statement="query execute exec raw prepare run all queryRaw $queryRaw $executeRaw $queryRawUnsafe $executeRawUnsafe unsafe executeSql batch multi none any one oneOrNone sql",
    drop="dropDatabase dropTable dropTableIfExists dropSchema", flush="flushall flushdb flushAll flushDb",
    synchronised="sync", destroyed="destroy", object_delete="deleteObject DeleteObjectCommand",
    listening="listen", keys="addEventListener", input="captureScreen", delete_many="deleteMany",
    cloud_delete="terminateInstances deleteBucket deleteObjects deleteDBInstance deleteStack deleteTable",
)  # fmt: skip
