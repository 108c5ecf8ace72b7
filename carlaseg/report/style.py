"""The look of the page: one style sheet for light and dark, wide and narrow, and the script of the sliders."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--paper:#fcfcfb;--card:#fff;--ink:#1b1f24;--soft:#5d6670;--rule:#e3e5e8;--accent:#0b7285;
--c1:#0b7285;--c2:#e8590c;--c3:#7048e8;--c4:#2b8a3e;--hit:#0b7285;--miss:#d6336c;--shade:#f1f3f5}
@media(prefers-color-scheme:dark){:root{--paper:#111417;--card:#181c20;--ink:#e6e9ec;--soft:#98a2ad;--rule:#2b3138;
--accent:#3bc9db;--c1:#3bc9db;--c2:#ff922b;--c3:#b197fc;--c4:#69db7c;--hit:#22b8cf;--miss:#f06595;--shade:#20262b}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:3.6rem;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif}
main{max-width:1120px;margin:0 auto;padding:0 1.25rem 4rem}
nav{position:sticky;top:0;z-index:2;background:var(--paper);border-bottom:1px solid var(--rule);overflow-x:auto;
white-space:nowrap;scrollbar-width:none}
nav div{max-width:1120px;margin:0 auto;padding:.65rem 1.25rem;display:flex;gap:1.35rem;font-size:.9rem}
nav a{color:var(--soft);text-decoration:none}nav a:hover{color:var(--accent)}
nav b{color:var(--ink);font-weight:650;letter-spacing:-.01em}
h1{font-size:clamp(1.5rem,4.5vw,2.3rem);line-height:1.15;letter-spacing:-.025em;margin:2.2rem 0 .5rem;
overflow-wrap:anywhere}
h2{font-size:1.45rem;letter-spacing:-.015em;margin:3.4rem 0 .4rem;padding-top:1.1rem;border-top:1px solid var(--rule)}
h3{font-size:1.04rem;margin:1.9rem 0 .5rem;overflow-wrap:anywhere}
p{max-width:72ch;margin:.5rem 0}.soft,figcaption,small{color:var(--soft)}.lead{font-size:1.08rem;color:var(--soft)}
code,pre{font:.86em/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code{overflow-wrap:anywhere}
pre{background:var(--shade);border-radius:8px;padding:.85rem 1rem;overflow-x:auto;margin:.5rem 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.6rem,1fr));gap:.8rem;margin:1.4rem 0}
.tile{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:.8rem 1rem;min-width:0;
overflow-wrap:anywhere}
.tile b{display:block;font-size:1.75rem;line-height:1.2;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:.86rem;line-height:1.35;display:block}
.note{border-left:3px solid var(--c2);background:var(--shade);border-radius:0 8px 8px 0;padding:.65rem 1rem;
margin:1rem 0;
max-width:78ch}
figure{margin:1rem 0}figcaption{font-size:.86rem;margin:.25rem 0;overflow-wrap:anywhere}
img{max-width:100%;height:auto;display:block;border-radius:6px;background:var(--shade)}
.sheet{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));gap:.7rem}.sheet img{width:100%}
.wide{overflow-x:auto;-webkit-overflow-scrolling:touch;margin:.5rem 0}
.panel img{min-width:860px;width:100%;background:#fff}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr));gap:1rem}
.chart{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:.8rem 1rem .5rem;margin:0}
.chart b{color:var(--ink);font-weight:600;margin-right:.9rem}.key{margin-right:.9rem;white-space:nowrap}
.key i{display:inline-block;width:.8rem;height:.22rem;border-radius:2px;vertical-align:middle;margin-right:.35rem}
i.c1{background:var(--c1)}i.c2{background:var(--c2)}i.c3{background:var(--c3)}i.c4{background:var(--c4)}
svg{display:block;width:100%;height:auto}svg text{font:11.5px system-ui,sans-serif;fill:var(--soft)}
.grid{stroke:var(--rule)}.mark{stroke:var(--soft);stroke-dasharray:3 4}
.curve{fill:none;stroke-width:2.2;stroke-linejoin:round}.dot{stroke:none}
.curve.c1{stroke:var(--c1)}.curve.c2{stroke:var(--c2)}.curve.c3{stroke:var(--c3)}.curve.c4{stroke:var(--c4)}
.dot.c1{fill:var(--c1)}.dot.c2{fill:var(--c2)}.dot.c3{fill:var(--c3)}.dot.c4{fill:var(--c4)}
svg.confusion{max-width:none}.confusion .name{font-size:12px;fill:var(--ink)}.cell{fill:var(--shade)}
.hit{fill:var(--hit)}.miss{fill:var(--miss)}.confusion .count{font-size:10px;text-anchor:middle;fill:var(--ink)}
.confusion .count.light{fill:#fff}
table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums;width:100%}
th{font-weight:600;text-align:left;color:var(--soft);font-size:.82rem}
th,td{padding:.32rem .6rem;border-bottom:1px solid var(--rule);white-space:nowrap}
td.n,th.n{text-align:right}td.wrap{white-space:normal;overflow-wrap:anywhere;min-width:12rem}
.swatch{display:inline-block;width:.85rem;height:.85rem;border-radius:3px;vertical-align:-.1rem;margin-right:.5rem;
border:1px solid rgba(128,128,128,.45)}
.meter{display:inline-block;width:min(9rem,22vw);height:.5rem;background:var(--shade);border-radius:4px;margin-right:.55rem;
overflow:hidden}
.meter i{display:block;height:100%;background:var(--accent);border-radius:4px}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.3rem;margin:.8rem 0;font-size:.95rem}
.facts dt{color:var(--soft)}.facts dd{margin:0;overflow-wrap:anywhere}
.slider{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:1rem}
.slider input{width:100%;accent-color:var(--accent);margin:.3rem 0 .8rem}
.js .slider figure{display:none;margin:0}.js .slider figure.on{display:block}
details{margin:.8rem 0}summary{cursor:pointer;color:var(--accent)}
footer{margin-top:4rem;padding-top:1rem;border-top:1px solid var(--rule);color:var(--soft);font-size:.86rem}
@media(max-width:560px){body{font-size:15px}.tile b{font-size:1.4rem}h2{margin-top:2.4rem}
.facts{grid-template-columns:1fr;gap:0}.facts dd{margin-bottom:.45rem}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}
.meter{width:6vw;margin-right:.35rem}th,td{padding:.28rem .3rem}}
@media print{nav{display:none}.js .slider figure{display:block}}
"""

SCRIPT = """
document.documentElement.classList.add('js');
document.querySelectorAll('.slider').forEach(function(box){
 var figures=box.querySelectorAll('figure'),input=box.querySelector('input');
 function show(){figures.forEach(function(f,i){f.classList.toggle('on',i==input.value)})}
 input.addEventListener('input',show);show()});
"""
