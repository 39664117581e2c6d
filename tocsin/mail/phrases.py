"""What servers write, where it says more than their code; words of many of them."""

import re


def _any(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_WHO = r"(user|recipient|mailbox|mail ?box|address|account|addressee|person|customer)"

UNKNOWN = _any(
    rf"(un|not )known {_WHO}|unknown[ -](or (invalid|illegal) )?(local[ -]?part|alias)",
    rf"{_WHO}( \S{{1,40}}){{0,4}} (is |was |are )?(un|not )known",
    rf"(no|not a|non[- ]?existent|bad|invalid|illegal|wrong)( such| valid)? "
    rf"(e-?mail |mail |local |destination |destination mailbox |recipient )?{_WHO}"
    r"(?! (syntax|domain))",
    rf"{_WHO}\W{{0,3}}( \S{{1,40}}){{0,5}} ((does|do|did) ?(not|n['’]t)|doesn['’]?t) "
    r"(seem to |appear to )?(exist|have an? )",
    rf"{_WHO}\W{{0,3}}( \S{{1,40}}){{0,3}} (not|n['’]t|could not be|couldn['’]t be|cannot be)"
    r"( \w+)? (exists?|found|existing|listed|here|valid)",
    rf"(could|can)(not| ?n['’]?t| not) (find|locate|resolve) (the |this |that |a )?"
    rf"(\w+ )?{_WHO}",
    rf"{_WHO}( \S{{1,40}}){{0,4}} (is |has been |was |are )?(invalid|not valid|not exist|"
    r"nonexistent)",
    r"(there is|we have) no (one|body|user|account|mailbox|such|person)",
    r"not (listed|found) in (\w+ ){0,2}(directory|address ?book|name)",
    r"(is|was|are)(n['’]t| not) (a |an |our |one of |known )?(valid |known |our )?"
    r"(user|customer|recipient|mailbox|member|local user)",
    r"no (local )?(mailbox|user|account|recipient)s? (here|by that name|with|named|at)",
    r"recipient ?(not|un)found|recipnotfound|recipientnotfound|user ?not ?found|"
    r"recipient address rejected: (access denied|undeliverable|user|address|invalid)",
    r"unrouteable address|unroutable address|no route to (recipient|address)",
    r"name (was )?not found at the remote site|unknown to (address|the|this|our)",
    r"(does|do) ?n['’o ]?t have (a|an) \S{1,40} account",
    r"address (is )?(un|not )(known|recogni[sz]ed|exist)",
    r"(addressee|destinataire|empf[äa]nger|destinatario) (unbekannt|inconnue?|"
    r"desconocido|sconosciuto)|destinataire (inexistant|introuvable)|"
    r"(adresse|bo[îi]te).{0,30}(n['’]existe pas|inexistante|introuvable)",
    r"(adresse|empf[äa]nger|postfach|benutzer).{0,40}(nicht gefunden|existiert nicht|"
    r"unbekannt|ung[üu]ltig)|unbekannte[rs]? (benutzer|empf[äa]nger|adresse)",
    r"(usuario|direcci[óo]n|destinatario|buz[óo]n).{0,30}(no existe|desconocid|"
    r"no encontrad)|(usu[áa]rio|endere[çc]o|destinat[áa]rio).{0,30}(inexistente|"
    r"n[ãa]o existe|n[ãa]o encontrad)",
    r"(用户|用戶|收件人|邮箱|郵箱|帐号|帳號|账号|地址|信箱|使用者).{0,12}"
    r"(不存在|未找到|找不到|无效|無效|停用|已注销|已註銷|冻结|禁用|未开通|不正确|错误)",
    r"(找不到|不存在|无此|無此|没有找到|查無).{0,8}(用户|用戶|收件人|邮箱|郵箱|帐号|"
    r"账号|地址|信箱|使用者)",
    r"(宛先|あて先|ユーザ|メールアドレス|受信者).{0,16}(存在しません|見つかりません|"
    r"不明|無効)",
    r"(пользовател|получател|адрес|ящик).{0,30}(не найден|не существует|неизвест|"
    r"отключ)",
    r"존재하지 ?않는|수신자.{0,12}(없|찾을 수 없)",
)

# Of those, what a server says only when it has looked; it says it in a 4xx, too.
SURELY_UNKNOWN = _any(
    rf"(un|not )known {_WHO}",
    rf"{_WHO}( \S{{1,40}}){{0,4}} (is |was |are )?(un|not )known",
    rf"no such {_WHO}",
    rf"{_WHO}\W{{0,3}}( \S{{1,40}}){{0,5}} (does|do) ?(not|n['’]t) exist",
    r"(user|recipient|mailbox|account) not found|no mailbox (here )?by that name",
    r"(用户|用戶|收件人|邮箱|郵箱|帐号|帳號|使用者).{0,12}不存在",
)

# There was one; whether for good, only the code says.
CLOSED = _any(
    rf"{_WHO}( \S{{1,40}}){{0,4}} (is |has been |was |are )?(disabled|inactive|deactivated|"
    r"closed|cancell?ed|discontinued|terminated|suspended|expired|deleted|removed|"
    r"retired|locked|frozen|blocked because|no longer|not active|unavailable or)",
    r"(has|have) (left|moved from) (the|this|our) (company|organi[sz]ation)|has moved",
    r"no longer (with|works?|working|employed|available|active|valid|in use|on server|"
    r"accept)|(disabled|inactive|deactivated|suspended|deleted) (user|account|mailbox|"
    r"recipient|address)",
    r"mail ?box (unavailable|not available|currently unavailable)",
)

FULL = _any(
    r"(mail ?box|mail ?folder|inbox|in-box|quota|mail ?drop|account|store|storage"
    r"( space| quota| allocation)?|disk( space| quota)?)\W{0,3}( \S{1,40}){0,4} "
    r"(is |are |has |have |was |been |for \S{1,40} )*(too |almost |over)?"
    r"(full|exceed(s|ed|ing)?|overflow\w*|over ?quota|out of)\b",
    r"\bover ?-?(the |their |its |his |my )?(\w+ )?(disk ?)?(quota|allocation)",
    r"exceed\w*(?! (the )?(max|size|message|fixed)).{0,40}(quota|storage|"
    r"mailbox|disk|space allocation)",
    r"quota[- ]?(exceed|violation|full|limit|check failed)|(mail|disk)quota",
    r"(out of|insufficient|not enough|no|lack of|low on) (\w+ )?(disk |storage |mail ?box "
    r")?(space|storage|room|quota)( left| available| on device| for)?",
    r"would (be over|exceed)( \S{1,40}){0,4} (quota|storage|limit of the mailbox)",
    r"(full|exceeded) (mailbox|inbox|quota)|mbox.{0,10}full|user.{0,20}is full",
    r"(bo[îi]te|postfach|buz[óo]n|casella|caixa).{0,40}(pleine|voll|lleno|piena|cheia)",
    r"(邮箱|郵箱|信箱|收件箱|空间|空間|容量|收件人|存储).{0,12}(已满|已滿|爆满|满了|滿了|"
    r"不足|不够|超出|超过|超過|超限)|(超出|超过|超過).{0,8}(配额|配額|容量|空间|空間)",
    r"(メールボックス|容量|受信箱).{0,16}(いっぱい|一杯|超え|超過|不足)",
    r"(ящик|почтов).{0,30}(переполнен|заполнен)|사서함.{0,12}(가득|초과)",
)

TOO_LARGE = _any(
    r"(message|mail|data|file|attachment|body|header)s?( \S{1,40}){0,2} "
    r"(is |was |are |size )*(too (big|large|long)|exceed\w*.{0,24}(size|max|limit))",
    r"size (limit |of the message |limitation |restriction )?(exceed|too|larger|over)|"
    r"exceed\w*.{0,24}(max\w*|fixed|allowed|permitted|message|mail).{0,16}(size|length)|"
    r"exceed\w*.{0,20}size (limit|restriction)",
    r"(邮件|郵件|附件).{0,8}(过大|過大|太大|超过.{0,6}大小)",
)

GREYLISTED = _any(r"gr[ea]y[- ]?list", r"灰名单|灰名單")

UNVERIFIED = _any(
    r"unverified address|address verification|verif\w+ (in progress|pending)|"
    r"(temporary|temporarily).{0,24}(lookup|resolv|unable to verify|cannot verify)|"
    r"(lookup|resolution).{0,24}temporar"
)

NO_HOST = _any(
    r"(host|domain|site|server)( or domain name| name)?( \S{1,40}){0,4} "
    r"(is |was |could |can|cannot |can't |does )*(not |n['’]t |be |un)*"
    r"(found|known|exist|locat\w+|resolv\w+|valid)",
    r"(no such|unknown|non-?existent|invalid|bad|couldn['’]?t find( any)?|cannot find "
    r"(the |your )?|unable to (find|resolve)|unrouteable|illegal) (mail |remote |"
    r"destination |recipient )?(host|domain|server)",
    r"no (valid )?(mx|mail exchanger|dns|a)( or a| hosts?| records?| entry)",
    r"nxdomain|mx (record )?(lookup|points to)|null ?mx|does not accept (e-?)?mail|"
    r"mail (exchanger|server).{0,20}not found|routing loop|loops? back to myself|"
    r"name (service|server) (error|failure)",
    r"域名.{0,8}(不存在|无法解析|解析失败|錯誤|错误)|(找不到|無法解析).{0,8}(域名|网域|網域)",
)

NOT_REACHED = _any(
    r"tim(e|ed)[ -]?out|time limit|no (answer|response) from|not respond\w*|unreachable|"
    r"connect\w*( \S{1,40}){0,5} (refused|failed|reset|dropped|lost|closed|aborted|"
    r"attempts? failed)|(lost|refused|failed|unable to (establish|make)|could not|"
    r"cannot|couldn['’]?t|can['’]?t|wasn['’]?t able to( \w+)?) (\w+ ){0,3}connect\w*",
    r"retry (timeout|time)|in (the )?queue too long|expired|"
    r"(for|after|within|exceeded|over|past) (the last )?([\d.]+|\w+) "
    r"(days?|hours?|hour\(s\)|minutes?)|failed (after )?\d+ (attempts|tries|times)"
    r"|long (failure|time)|too (many|long) (retries|attempts|hops in)|"
    r"delivery (time|attempts)|(max\w*|number of) (retries|attempts|delivery)|"
    r"give?n? up|gave up trying|still (not|un)",
    r"host (is )?(down|unreachable)|no route to host|network (is )?(down|unreachable)|"
    r"remote (host|server).{0,20}(unavailable|not available|down|answer)|i/o error|"
    r"all (relevant )?(mx|hosts?).{0,30}(fail|down|unreach)",
    r"连接.{0,8}(失败|超时|被拒)|连接不上|無法連|无法连接|超时|逾時|超時|タイムアウト",
)

# What no server writes: for a reason that only codes tell.
NEVER = re.compile(r"(?!)")

LATER = _any(
    r"(try|retry|send|resend)( it| this| again| your \w+| the \w+)*( again)? "
    r"(at a )?later|please (re)?try (again|later)|come back later",
    r"\btemporar(y|ily)\b|\btransient\b|currently (un|not )(available|able)|"
    r"(local|system) (problem|error) (in|with)",
    r"too many (concurrent |simultaneous )?(connections|messages|mails|sessions)|"
    r"too (fast|frequent|much mail)|rate[- ]?(limit|control)|throttl|"
    r"(frequency|connection|rate) (limit|exceed)|limit.{0,12}exceeded.{0,12}(hour|minute)",
    r"\bdeferr(ed|al)|(server|system|mailbox) (is )?(too )?busy|resources temporarily|"
    r"稍后|稍後|暂时|暫時|频率|頻率|一時的|しばらく",
)

REFUSED = _any(
    r"spam|junk|unsolicited|\bbulk\b|block(ed|list)|black ?list|reject|refus|denied|"
    r"polic(y|ies)|prohibit|not (permitted|allowed|authori[sz]ed|accepted)|relay|"
    r"spf|dkim|dmarc|reputation|virus|malware|banned|forbidden|restricted|rbl|dnsbl|"
    r"拒收|拒绝|拒絕|垃圾|黑名单|黑名單|迷惑メール"
)

# A message as a whole.

FAILED = _any(
    r"undeliver(ed|able)|un-?deliverable|non-?deliver(y|able|ed)|not (been )?deliver(ed|able)",
    r"deliver\w*( status notification)?.{0,30}(fail|problem|impossible|unsuccess|error|"
    r"abort|could not|incomplete)|(fail\w*|unsuccess\w*|error|unable|problem)"
    r".{0,30}(deliver|transmi|sending)",
    r"(could|can)( ?not|n['’]?t| not) (be )?(deliver|sent|reach)|"
    r"(did|does) ?n[o'’]?t reach|was(n['’]t| not) able to deliver|unable to be sent",
    r"return(ed|ing) (mail|to sender|message|your|e-?mail)|mail return|bounced|"
    r"returned (below|undelivered)|mail (system )?error|failure (notice|notification|"
    r"report)|message (was |has been )?(rejected|refused|blocked|bounced)",
    r"permanent (fatal )?(error|failure)|fatal errors|given up|couldn['’]t be found|"
    r"had (one or more )?(the following )?(permanent|transient|fatal|delivery) |"
    r"(recipient|address)(es)? (was |were )?(rejected|failed|failing|not found|"
    r"problem)|has problems|(was|were) rejected",
    r"退信|无法(投递|送达|发送|递送)|無法(投遞|送達|傳送|傳遞|寄送|遞送)|未送达|未送達|"
    r"投递失败|投遞失敗|发送失败|傳送失敗|寄件失敗|传递失败|傳遞失敗|被退回|退回|未能(送|投)|"
    r"不能(送达|投递)|送信(でき|エラー)|配信(でき|不能|エラー|に失敗)|配送(でき|不能|エラー)|"
    r"届けられ|不達|返送|전송 ?실패|배달.{0,8}(실패|못)|반송",
    r"unzustellbar|nicht (zugestellt|ausgeliefert|zustellbar)|zustell\w*.{0,20}fehl|"
    r"fehlgeschlagen|konnte.{0,60}nicht.{0,30}zugestellt",
    r"non ?(remis|distribu|d[ée]livr)\w*|[ée]chec (de |d['’])|impossible de (remettre|"
    r"distribuer|livrer|d[ée]livrer)|n['’]a pas pu [êe]tre|non[- ]remise|retour (de|à)",
    r"no (se )?(ha |pudo |puede |se pudo |entregado|ser )(podido |sido )?(ser )?entreg\w+|"
    r"no entregado|error de entrega|mensaje devuelto|imposible entregar|"
    r"n[ãa]o (foi |p[ôo]de |entregue)(poss[íi]vel )?(ser )?entreg\w+|falha (na|de) entrega|"
    r"devolvid|mancata consegna|non (è stato |recapit|consegn)\w*|impossibile (recap|conseg)",
    r"niet (be|af)?(geleverd|bezorgd|afgeleverd)|onbestelbaar|kunde inte (levereras|skickas)|"
    r"kunne ikke leveres|не (удалось|был[ао]? )?(доставлен|может быть доставлен)\w*|"
    r"недоставлен|ошибка доставки|nie (mo[żz]na|zosta[łl]a?) dostarcz\w+|nedoru[čc]iteln|"
    r"teslim edilemedi|iletilemedi",
)

DELAYED = _any(
    r"\bdelay(ed|s|ing)?\b|still (being|trying|be(ing)? retried|attempting|in (the )?queue)|"
    r"(no|not|n['’]t) need to re-?(send|try|submit)|will (continue|keep|be re)\w* "
    r"(to (try|attempt|be)|trying|retri|attempt)|(has |have )?not (yet )?been delivered yet|"
    r"(is|this is) (a |only a )?(warning|(not|n['’]t) (an? )?(error|bounce))|"
    r"warning.{0,40}(could not send|not (yet )?(been )?(delivered|sent)|hours?)|"
    r"delivery (will be|attempts will)|retry(ing)? (for|until)|will be retried",
    r"verz[öo]ger|retard[ée]|retras(o|ado)|demora|ritardo|vertra(gi|ag)|延迟|延遲|延误|"
    r"仍在(尝试|重試|重试)|将继续|將繼續|遅延|再送信?を|задерж|지연",
)

# "I gave up" after all: warnings never say so.
FINAL = _any(
    r"(have|has|had|['’]ve|i) (now )?(given|gave) up|giving up on|will not (be )?(retr|try|attempt|deliver)|no (further|more) "
    r"(attempts|delivery)|permanent (error|fail|fatal)|could not be delivered for|"
    r"not (going to|gonna) try again|has failed|final(ly)? (fail|notice)|(?<!will be )returned to "
    r"(you|sender)|unable to deliver (this|your) message after|do not try|removed from the "
    r"queue|expired|timeout exceeded"
)
