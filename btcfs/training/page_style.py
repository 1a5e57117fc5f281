"""How the training report's page looks, by day and by night."""

STYLE = """
:root{--paper:#fcfcfb;--ink:#1d1d1b;--faint:#6b6b66;--rule:#e3e2dd;--card:#fff;--c1:#1f6feb;--c2:#c2570c;--c3:#2a8a57;
--c4:#8250df;--c5:#7d7a70;--bad:#b42318;--warn:#9a6700;--good:#1a7f37}
@media (prefers-color-scheme:dark){:root{--paper:#161615;--ink:#ecebe6;--faint:#a3a199;--rule:#33322e;--card:#1e1e1c;
--c1:#6ea8fe;--c2:#f0954d;--c3:#5cc48c;--c4:#b79cf5;--c5:#a8a59a;--bad:#ff8f85;--warn:#e3b341;--good:#6fd08c}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:860px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;margin:0}h2{font-size:20px;margin:40px 0 8px;padding-top:16px;border-top:1px solid var(--rule)}
h3{font-size:15px;margin:24px 0 6px}header p,.small{color:var(--faint);margin:4px 0}
.cards,.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:16px}
.cards{margin-top:20px}
.card{background:var(--card);border:1px solid var(--rule);border-left:5px solid var(--c5);border-radius:6px;padding:12px 16px}
.card.weak{border-left-color:var(--warn)}.card.some{border-left-color:var(--good)}
.card ul{padding-left:18px;margin:8px 0}.words{font-size:20px;font-weight:600;margin:0}
.wide{overflow-x:auto}.wide>svg{min-width:600px}table{border-collapse:collapse;font-variant-numeric:tabular-nums;min-width:50%}
th,td{text-align:left;padding:4px 16px 4px 0;border-bottom:1px solid var(--rule);vertical-align:top}
th{color:var(--faint);font-weight:500}
.numbers :is(th,td){white-space:nowrap}.numbers :is(th,td):not(:first-child){text-align:right}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px}dt{color:var(--faint)}dd{margin:0;overflow-wrap:anywhere}
.ok{color:var(--good)}.warning{color:var(--warn)}.alarm{color:var(--bad)}.ok,.warning,.alarm{white-space:nowrap}
code{font-size:13px}
svg{width:100%;height:auto;display:block;max-width:100%}
svg text{fill:var(--ink);font:12px system-ui,-apple-system,"Segoe UI",sans-serif}
svg .tick{fill:var(--faint);font-size:11px}svg .count{font-size:18px;font-weight:600}
svg .axis{stroke:var(--faint)}svg .grid{stroke:var(--rule)}svg .ideal{stroke:var(--faint);stroke-dasharray:4 4}
svg .spread{stroke:var(--ink);opacity:.5}
svg .train{fill:var(--c1);opacity:.55}svg .test{fill:var(--c2)}svg .sealed{fill:var(--c5)}
svg .curve{fill:none;stroke-width:1.6}svg .whisker{stroke-width:2}
svg .c1{stroke:var(--c1)}svg .c2{stroke:var(--c2)}svg .c3{stroke:var(--c3)}svg .c4{stroke:var(--c4)}svg .c5{stroke:var(--c5)}
svg .dot{stroke:none}svg .dot.c1,svg .fill{fill:var(--c1);stroke:none}svg .dot.c2{fill:var(--c2)}
svg .name{stroke:none}svg .name.c1{fill:var(--c1);font-weight:600}svg .name.c2{fill:var(--c2)}svg .name.c3{fill:var(--c3)}
svg .name.c4{fill:var(--c4)}svg .name.c5{fill:var(--c5)}svg .right{fill:var(--c3)}svg .wrong{fill:var(--c2)}
"""
