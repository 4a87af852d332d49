"""The words the detector listens for, by concept, in English, German, French and Spanish.

A phrase is words in order, without accents and apostrophes; `*` at a word's end matches any ending; `_` is one word
that does not matter. Concepts are evidence, not decisions: the classifier weighs them together.
"""

CONCEPTS: dict[str, tuple[str, ...]] = {
    # A decision about an investment.
    "should": (
        "crazy to", "take on", "view on", "is it time", "now or wait", "or wait", "wait for", "bullish on", "bearish on", "tempted", "convinced", "hesitant", "hesitating", "sensible", "what do you make of", "proper look", "worth a look", "good enough", "ist es zeit", "lieber warten", "oder warten", "was meinst du", "was denkst du", "ou attendre", "est ce le moment", "qu en penses tu", "o esperar", "es momento", "que te parece", "como ves",
        "be good for", "good for my", "right for me", "right choice", "deserve*", "wise to", "smart to", "prospects", "think of putting", "thoughts", "help me decide", "be a mistake", "good fit", "suitable for", "a smart move", "bad idea", "reasonable to", "any reason to", "ready to buy", "time to buy", "time to sell", "judicieux", "est il judicieux", "judicieuse", "raisonnable", "une bonne idee", "vaudrait il", "ware es", "ist es klug", "klug", "vernunftig", "empfehlenswert", "es recomendable", "recomendable", "aconsejable", "es prudente", "tiene sentido", "te parece",
        "should i", "should we", "shall i", "ought i", "would you", "do you think", "what do you think", "your opinion",
        "your view", "your take", "outlook", "is it too late", "is it wise", "is it smart", "would it be", "does it make sense",
        "make sense", "good idea", "good time", "right time", "right moment", "worth", "thinking about", "thinking of", "considering",
        "soll ich", "sollte ich", "sollten wir", "soll man", "sollte man", "lohnt", "ist es sinnvoll", "sinnvoll", "wurdest du",
        "wurden sie", "was haltst du", "was halten sie", "ich uberlege", "guter zeitpunkt", "deine meinung", "macht es sinn",
        "dois je", "devrais je", "devrait on", "faut il", "vaut il", "vaut la peine", "vaut le coup", "bon moment", "que penses tu",
        "que pensez vous", "ton avis", "votre avis", "est ce judicieux", "bonne idee", "je pense", "j hesite", "interessant d",
        "deberia", "deberiamos", "conviene", "vale la pena", "merece la pena", "es buen momento", "buen momento", "que opinas",
        "que piensas", "tu opinion", "estoy pensando", "buena idea", "me aconsejas", "recomiendas", "you recommend", "do you recommend",
        "advise", "empfiehlst", "recommandes", "conseilles",
    ),
    "invest": (
        "invest*", "buy", "buying", "own", "owning", "hold", "holding", "sell", "selling", "add to", "get into", "getting into",
        "get out", "long term holding", "core holding*", "put money", "put some", "accumulate", "entry", "keep", "avoid",
        "anleg*", "anlage*", "kauf*", "halten", "verkauf*", "einsteigen", "einstieg", "aussteigen",
        "acheter", "achat", "vendre", "garder", "conserver", "placer", "placement*", "detenir",
        "inver*", "comprar", "compra de", "vender", "mantener", "conservar",
    ),
    "rating": (
        "double", "triple", "bonne affaire", "buena oportunidad", "gutes schnappchen", "solid choice", "income investors", "recommendation for", "recommendation on", "investment recommendation",
        "valuation", "overpriced", "justified", "value here", "fallen a lot", "has fallen", "come back", "recover", "recovery", "bottomed", "moat", "fundamentals", "hold add", "add or exit", "double down", "cut my losses", "take profits", "take profit", "will _ go up", "will _ rise", "will _ keep", "keep rising", "price prediction", "forecast", "prediction", "where will", "growth prospects", "bewertung", "erholen", "erholt", "prognose", "aussichten", "valorisation", "previsions", "perspectives", "valoracion", "pronostico", "perspectivas", "recuperara", "multibagger", "winner",
        "a buy", "a strong hold", "buy the dip", "worth the price", "price justified", "room to run", "priced in", "rich valuation", "bargain at", "gute investition", "gutes geschaft", "kaufenswert", "buen momento para comprar", "buena accion",
        "undervalued", "overvalued", "fairly priced", "place among", "belongs in", "safe place", "good holding", "over priced", "overpriced", "expensive", "cheap", "how attractive",
        "good buy", "buy hold or sell", "buy or sell", "hold or sell", "buy or avoid", "keep or sell", "fairly valued",
        "good investment", "solid investment", "safe investment", "investment thesis", "buy or hold",
        "attractive at", "how attractive", "price target", "fair value", "still a buy", "strong buy", "upside", "potential of",
        "uberbewertet", "unterbewertet", "guter kauf", "kaufen oder", "halten oder verkaufen", "gutes investment", "gute anlage", "kursziel", 
        "bon investissement", "bonne action", "acheter ou vendre", "garder ou vendre", "surevalu*", "sous evalue", "sous evaluee", "bon achat", "potentiel",
        "buena inversion", "comprar o vender", "sobrevalorad*", "buena compra", "potencial",
    ),
    "study": (
        "complete investment analysis", "investment analysis", "look at _ stock", "stock analysis", "fundamental analysis", "technical analysis", "analysis of", "assessment of", "your analysis", "aktienanalyse", "analyse de l action", "opinion on",
        "review", "examine", "research report", "full analysis", "analisis completo", "analyse complete",
        "analy*", "research", "deep dive", "in depth", "evaluat*", "assess*", "full workup", "full picture", "full report", "report on",
        "due diligence", "thorough*", "look into", "break down", 
        "analys*", "grundlich*", "untersuch*", "bewert*", "beurteil*", "einschatz*", "prufe", "pruf*", "recherchi*", "ausfuhrlich*",
        "etude", "etudie", "evalue", "evaluez", "examine", "approfondi*", "detaillee",
        "anali*", "estudia", "evalua", "investiga", "informe", "exhaustiv*",
    ),
    "thorough": (
        "investment analysis", "stock analysis", "fundamental analysis", "detailed report", "deep analysis", "full review", "complete report", "tiefenanalyse",
        "deep dive", "in depth", "full analysis", "complete analysis", "detailed analysis", "comprehensive", "full workup", "full picture", "full report", "research report", "due diligence", "thorough*", "investment thesis",
        "grundlich*", "ausfuhrlich*", "tiefgehend*", "umfassend*", "komplette analyse", "vollstandige analyse", "detaillierte analyse", "analyse complete", "analyse detaillee", "approfondi*", "en detail", "analisis completo", "analisis detallado", "a fondo", "exhaustiv*", "en profundidad",
    ),
    "horizon": (
        "long term", "short term", "long run", "next _ years", "next year", "years", "over the next", "horizon", "retirement", "decade", "months",
        "langfrist*", "kurzfrist*", "jahre", "jahren", "rente", "long terme", "court terme", "ans", "annees", "retraite",
        "largo plazo", "corto plazo", "anos", "jubilacion", "a long terme",
    ),
    # Two or more side by side.
    "compare": (
        "torn between", "between _ and", "hin und hergerissen", "j hesite entre", "dudo entre",
        "only one", "own only one", "if you had to", "which one would", "which one holds", "switch from", "swap", "replace", "cual me", "cual prefieres", "laquelle", "welche soll", "welches davon", "eher",
        "against", "difference in", "differences", "in comparison", "compared", "contrast", "better investment", "safer investment", "better long term", "better choice", "which should", "which stock", "stronger", "safer", "welche von beiden", "welcher von", "oder besser", "lequel des deux", "laquelle des deux", "cual de las dos", "cual de los dos", "cual comprar",
        "compar*", "versus", "vs", "v s", "side by side", "head to head", "stack up", "difference between", "differences between", "better buy than",
        "better than", "which is better", "which one", "which of", "which would", "which has", "which is", "rank", "relative to", "against each other",
        "rather own", "rather buy", "rather hold", "help me choose", "choose between", "decide between", "pick between", "beaten", "beat", "outperform*", "match up", "measure up",
        "safer than", "riskier than", "instead of", "out of",
        "vergleich*", "gegenuber*", "im vergleich", "besser als", "was ist besser", "welche aktie", "welche von", "welche ist", "unterschied*", "gegen", "lieber", "welches ist", "welcher ist", "oder lieber",
        "comparaison", "comparer", "comparons", "par rapport", "laquelle", "lequel", "meilleure action", "plutot", "difference entre", "entre _ et", "face a", "mieux que",
        "comparar", "comparacion", "comparad*", "frente a", "cual es mejor", "cual elegir", "mejor que", "prefieres", "diferencia*", "cual de", "mejor opcion",
    ),
    "or": ("or", "oder", "ou", "o"),
    "and": ("and", "und", "et", "y", "e", "with", "mit", "avec", "con"),
    # What somebody owns as a whole.
    "portfolio": (
        "a portfolio", "an etf portfolio", "build a", "portfolio zusammen",
        "retirement account", "pension fund", "my isa", "my sipp", "roth", "401k", "nest",
        "mein depot", "meinem depot", "meines depots", "mein aktiendepot", "aktiendepot", "im depot", "depotanalyse", "depots", "retirement plan", "put together a portfolio", "model portfolio", "split between", "how should i split", "into bonds", "more bonds", "overlap",
        "60 40", "portfolio allocation", "asset mix", "my account", "my ira", "my 401k", "my pension", "investment mix", "all my investments", "mein vermogen", "meine fonds", "mon patrimoine", "mi patrimonio", "asset classes",
        "i own", "i hold", "what i own", "current mix", "my allocation", "this allocation", "between equities and bonds", "stocks and bonds", "en actions et", "me construis", "baue mir",
        "portfolio", "portfolios", "holdings", "my funds", "my investments", "asset allocation", "allocation", "my mix", "mix of", "my savings between", 
        "everything i own", "my positions", "what i hold", "nest egg", "my etfs", "my stocks", "my shares",
        "portfolio*", "vermogensaufteilung", "aufteilung", "meine anlagen", "ich besitze", "meine aktien", "meine positionen", "gewichtung",
        "portefeuille*", "mes placements", "mes investissements", "repartition", "allocation d actifs", "je detiens", "je possede", "mes actions",
        "cartera*", "mis inversiones", "portafolio*", "asignacion", "tengo un", "mis acciones", "mis fondos", "mis posiciones",
    ),
    "profile": ("risk profile", "risk tolerance", "risk appetite", "moderate risk", "low risk", "risikoprofil", "risikobereitschaft", "profil de risque", "perfil de riesgo", "conservative investor", "moderate investor", "aggressive investor"),
    "balance": (
        "allocat*", "too risky", "lower volatility", "well diversified", "improvements", "restructure", "reshuffle", "aufgestellt", "umstrukturier*", "gewichtet", "ponder*", "improve my", "optimier*", "optimise*", "optimiz*", "optimiza*", "mejorar mi",
        "rebalanc*", "diversif*", "concentrat*", "overweight", "underweight", "too much", "correlated", "optimi*", "balanced", "health check", "spread across", "all eggs", "trim", "overexposed", "weighting*", "weights",
        "umschicht*", "gestreut", "streuung", "diversifi*", "zu viel", "klumpenrisik*", "ausgewogen", "gewichten",
        "reequilibr*", "trop expose", "trop exposee", "equilibr*", "surpondere",
        "reequilibrar", "rebalancear", "demasiado peso", "demasiada exposicion", "concentrad*", "equilibrad*",
    ),
    # What can be lost.
    "risk": (
        "risk of", "risks of", "risks to", "biggest risks", "main risks", "downside risk", "red flags", "warning signs", "worry about", "worries", "worried",
        "risk", "risks", "risky", "riskiness", "risk analysis", "risk assessment", "danger*", "safe", "safety", "threat*", "volatile", "vulnerab*", "exposure",
        "risik*", "riskant*", "gefahr*", "sicher", "gefahrlich",
        "risque*", "danger*", "sur de", "vulnerable",
        "riesgo*", "arriesgad*", "peligr*", "segur*",
    ),
    "loss": (
        "wipe out", "lose everything", "black swan", "survive", "how safe", "sleep at night", "worst drawdown", "drop by", "what if it falls", "falls by", "drops by", "tail", "einbrechen", "alles verlieren", "chuter", "s effondrer", "hundir*", "caer",
        "verlustrisiko", "max loss", "maximum loss", "go to zero", "to zero", "bankrupt*", "go bust", "plunge*", "crashes", "tank", "blow up", "hurt me", "totalverlust", "faillite", "tout perdre", "quiebra", "perderlo todo", "arruin*",
        "lose", "losing", "loss", "losses", "downside", "worst case", "worst", "go wrong", "could go wrong", "how bad", "drawdown", "crash*", "stress test", "stress", "drops", "drop", "falls", "collapse", "tail risk", "wiped out", "bleed",
        "verlier*", "verlust*", "schlimmsten", "schief*", "stresstest", "einbruch", "absturz*", "fallt",
        "perdre", "perte*", "pire", "effondr*", "krach", "chute",
        "perder", "perdida*", "peor", "caida", "desplom*", "salir mal",
    ),
    "protect": (
        "protect", "hedge", "hedging", "stop go", "place a stop", "position size", "position sizing", "insure", "limit my", "cap my", "cushion",
        "absicher*", "sichere ich", "schutz*", "begrenz*",
        "couvrir", "proteger", "couverture", "limiter",
        "cubrir", "protejo", "proteger", "cobertura",
    ),
    # Where to look.
    "seek": (
        "any interesting", "any _ stocks", "any good", "any ideas", "gibt es", "y a t il", "hay alguna", "hay acciones",
        "what are some", "what are good", "identify", "discover", "where to", "where can i", "who are the best", "which companies", "which sector", "which industries", "which etfs", "which funds", "what sectors", "wo soll", "wo kann ich", "in welche", "welche aktie soll", "dans quoi", "dans quelles", "donde puedo", "en que",
        "any promising", "any good", "any interesting", "anything", "show me", "give me", "suggest", "finde", "find", "suche", "best", "donde hay", "donde invertir", "donde poner", "donde estan",
        "find me", "where are", "where is", "where would", "where should", "which stocks", "which sectors", "which shares", "which large caps", "which companies", "what stocks", "screen", "screen for", "spot", 
        "looking for", "hunting", "top picks", "best stocks", "best shares", "best etfs", "recommend", "ideas for", "what should i buy", "are there", "scan", 
        "welche aktien", "welche branchen", "welche sektoren", "welche werte", "nenne", "nenn mir", "wo gibt", "wo liegen", "beste aktien", "besten aktien", "zeig mir", "empfehl*", "was soll ich kaufen", "wohin mit",
        "quelles actions", "quels secteurs", "quelles sont les", "quelles valeurs", "trouve", "trouvez", "cherche", "ou investir", "meilleures actions", "suggere", "ou placer", "que acheter", "quoi acheter",
        "que acciones", "en que acciones", "que sectores", "busca", "buscame", "encuentra", "sugiere", "mejores acciones", "en que invertir", "recomiendame", "que comprar",
    ),
    "chance": (
        "best way to invest", "how should i invest", "how do i invest", "how to invest", "soll ich anlegen", "euro anlegen", "comment investir", "como invierto", "como invertir",
        "looks good", "look good", "interesting", "watchlist", "top stocks", "best performing", "leaders", "to invest what", "bonnes affaires en", "interesante*", "interessante*",
        "good stocks", "some stocks", "great stocks", "stocks to buy", "shares to buy", "stocks to watch", "to invest in", "where to invest", "where should i invest", "where can i invest", "what should i invest in", "what to buy", "undervalued companies", "cheap stocks", "investment opportunities", "trading opportunities", "trade idea", "next big", "high growth", "growth companies", "winners of", "aktien kaufen", "aktientipps", "welche aktien soll", "quelles actions acheter", "actions a acheter", "en que invierto", "acciones comprar", "acciones para comprar", "que acciones comprar", "mejores acciones",
        "opportunit*", "undervalued", "bargain*", "trade ideas", "investment ideas", "ideas", "setups", "set ups", "setup", "breakout*", "momentum", "entry points", "swing trades", "promising", "attractive", "hot", "picks", "value plays", "plays", "hidden gems", "overlooked", "oversold", "gems",
        "new money", "to buy now", "best stocks", "worth buying", "rebound", "names to look", "dividend stocks", "growth stocks to", "candidates",
        "chance", "chancen", "gelegenheit*", "unterbewertet", "schnappchen", "vielversprechend", "anlageideen", "ideen", "aussichtsreich*", "attraktiv*",
        "opportunite*", "sous evaluees", "sous evalues", "prometteu*", "bonnes affaires", "idees",
        "oportunidad*", "infravalorad*", "prometedor*", "gangas", "ideas de", "atractiv*",
    ),
    "field": (
        "bonds", "gold", "l or", "oro", "silver",
        "sector", "sectors", "stocks", "shares", "equities", "market", "markets", "large caps", "small caps", "mid caps", "big tech", "semis", "semiconductors", "industrials", "banks", "energy stocks", "health care", "healthcare", "utilities", "funds", "etfs", "bonds", "crypto", "commodities", "gold", "airlines", "multinationals", "insurers", "reits", "real estate stocks", "emerging markets",
        "aktien", "branchen", "branche", "sektor*", "markt", "werte", "technologiewerte", "bankaktien", "borse", "anleihen", "autobranche", "banken", "energiesektor",
        "actions", "secteur*", "bourse", "marche", "marches", "valeurs", "obligations", "banques", "la tech",
        "acciones", "sector*", "bolsa", "mercado*", "bancos", "tecnologicas", "bonos", "empresas",
    ),
    # The economy and what it does.
    "macro": (
        "schwacher dollar", "schwachen dollar", "starker euro", "fester dollar", "dollar faible", "dolar debil", "wechselkurs*", "taux de change", "tipo de cambio", "exchange rate*", "currency moves",
        "oil", "macro", "macroeconomic*", "monetary policy", "fiscal policy", "fomc", "jobs data", "trade policy", "supply chain", "energy crisis", "housing crash", "bond yields", "credit crunch", "debt crisis", "the yen", "the euro", "weak euro", "strong euro", "higher taxes", "tax cuts", "corporate tax", "powell", "lagarde", "hawkish", "dovish", "tightening", "geldpolitik", "notenbank*", "energiekrise", "handelskrieg", "krise", "strafzolle", "politique monetaire", "crise", "politica monetaria", "banco central europeo", "guerra comercial", "guerre commerciale", "handelsstreit",
        "the dollar", "stronger dollar", "strong dollar", "weaker dollar", "weak dollar", "dollar strength", "starker dollar", "starken dollar", "dollar fort", "dolar fuerte", "dolar debil", "a war", "the war", "war in", "lower oil", "higher oil", "oil prices", "oil falls", "oil rises", "higher rates", "lower rates", "rising rates", "falling rates", "rates rise", "rates fall", "rates stay", "cuts rates", "raises rates", "hikes rates", "real yields", "government shutdown", "curve", "growth slows", "slows down", "hausse des taux", "baisse des taux", "subida de tipos", "bajada de tipos", "krieg in",
        "fed", "ecb", "bank of england", "boj", "central bank*", "rate hike", "rate hikes", "rate cut", "rate cuts", "interest rate", "interest rates", "yield curve", "yields", "inflation", "cpi", "ppi", "deflation", "stagflation", "recession", "gdp", "unemployment", "payrolls", "jobs report",
        "tariff*", "trade war", "oil price*", "opec", "currency", "quantitative tightening", "quantitative easing", "soft landing", "hard landing", "election*", "shutdown", "fiscal", "stimulus", "debt ceiling", "sanctions", "geopolitic*", "economy", "economic", "pandemic", "ceasefire", "slowdown", "money supply", 
        "ezb", "zins*", "leitzins*", "inflation*", "rezession", "zolle", "zoll", "konjunktur", "olpreis*", "arbeitslos*", "wirtschaft*", "wahl", "wahlen", 
        "bce", "taux", "recession", "droits de douane", "petrole", "chomage", "conjoncture", "croissance", "banque centrale", "guerre", "elections", 
        "tipos", "tipos de interes", "inflacion", "recesion", "aranceles", "petroleo", "desempleo", "paro", "economia", "banco central", "guerra", "elecciones", 
    ),
    "effect": (
        "do for", "hit", "hits", "shock", "exposure to", "when rates", "auswirken", "belasten", "belastet", "peser sur", "pesaria", "golpear*",
        "what happens", "going forward", "outlook for", "do to", "would do", "mean for", "means for", "how exposed", "wie reagiert", "was heisst das", "was wurde", "comment reagir*", "quel effet", "como reaccion*", "que efecto", "implicaciones", "repercusion*", "repercussion*", "ramifications", "fallout", "tailwind*", "headwind*",
        "what would a", "what would an", "what does it mean", "does that mean", "does this mean", "scenario", "things for", "would mean", "mean to", "would do to", "do to tech", "do to my", "do to stocks", "does to", "expect", "hang on",
        "affect*", "impact*", "effect", "effects", "influence*", "what happens to", "mean for", "means for", "imply", "implies", "implication*", "consequence*", "hurt", "hurts", "benefit*", "profit from", "react*", "reaction", "sensitive", "hold up", "weigh on", "who wins", "winners", "losers", "fare", "suffer", "knock on", "exposed to", 
        "wirkt", "auswirk*", "wirken", "bedeutet", "folgen", "was passiert", "betroffen", "beeinfluss*", "treffen", "trifft", "reagier*", "profitier*", "leiden", 
        "impact*", "affect*", "consequence*", "effet*", "toucher", "touche", "que se passe", "que se passerait", "influenc*", "en cas de", "profite*", "souffr*", 
        "afect*", "impacto*", "consecuencia*", "efecto*", "que pasa", "que pasaria", "influy*", "significa", "benefici*", "perjudic*", "en caso de",
    ),
    # Both sides.
    "debate": (
        "disagree", "two analysts", "opposite view*", "other side", "argue against", "tear apart", "poke holes", "play both", "contradict*", "widerlege", "gegenposition", "en pro y en contra", "pro y en contra", "contre argument*", "contraargument*",
        "bullish and bearish", "bearish and bullish", "both arguments", "arguments on both", "for or against", "positives and negatives", "upsides and downsides", "strengths and weaknesses", "contrarian", "argumente", "arguments", "pour ou contre", "points forts et", "alcistas y bajistas", "bull argument*", "bear argument*", "bull thesis", "bear thesis", "advantages and disadvantages", "vorteile und nachteile", "ventajas e inconvenientes",
        "the case for", "make the case", "the case against", "bull", "long and short thesis", "convince me", "defend it", "would someone sell",
        "debate", "debates", "bull case", "bear case", "bull and bear", "bull and bear case", "bulls and bears", "bulls vs bears", "bull vs bear", "a bull and a bear", "both sides", "two sides", "for and against", "pros and cons", "pro and con", "pro and contra", "devil s advocate", "devils advocate", "argue", "arguments for", "arguments against", "both views", "optimists", "pessimists", "steelman", "convince me otherwise", "challenge my", "long and the short", "counterargument*", "opposing views", "fight it out", "bulls", "bears", "skeptic*", "sceptic*",
        "debatt*", "bulle", "bullen", "bar gegen", "bulle gegen bar", "baren", "pro und contra", "pro und kontra", "fur und was gegen", "spricht fur", "spricht gegen", "fur und wider", "fur und gegen", "kontrovers*", "streitgesprach", "argumente fur", "argumente gegen", "diskutier*", "vor und nachteile", "beide seiten",
        "debat*", "pour et contre", "le pour et le contre", "arguments pour", "arguments contre", "haussier*", "baissier*", "optimiste", "pessimiste", "avantages et inconvenients", "deux camps", "les deux cotes", "avocat du diable",
        "debat*", "a favor y en contra", "en contra", "pros y contras", "alcista*", "bajista*", "ventajas y desventajas", "los dos lados", "ambos lados", "abogado del diablo", "argumentos",
    ),
    # What asks for one answer, not for a desk of specialists.
    "learn": (
        "walk me through how", "what is the difference between growth", "when do people", "how is _ measured", "was macht eine", "was macht ein", "how are _ made", "who invented", "history of the",
        "difference between stocks and", "describe", "what does _ mean", "how should a beginner", "for beginners", "what is _ _ averaging", "compound interest", "how do options", "why is _ important", "importance of", "types of", "examples of", "wie entsteht", "was heisst", "was bringt", "a quoi sert", "para que sirve", "en que consiste", "que quiere decir", "diferencia entre acciones",
        "the term", "what does _ _ mean", "what do _ mean", "how does _ work", "how does _ _ work", "how do _ _ work", "how do _ work", "how is _ calculated", "how are _ calculated", "what does _ do", "how do i read", "difference between a", "difference between an", "difference between systematic",
        "what is a", "what is an", "what is the difference", "what s a", "what s an", "what s the difference between a", "explain", "define", "definition", "meaning of", "what does _ mean", "what does it mean to", "how do _ work", "how do i calculate", "teach me", "formula", "calculated", "like i m five", "beginner", "tutorial", "concept of", "why do", "learn", "tell me about the concept", "basics", "in general", "in theory", "how to read",
        "was ist ein", "was ist eine", "was sind", "erklar*", "definier*", "definition*", "was bedeutet", "was versteht man", "wie funktioniert", "wie funktionieren", "wie berechnet", "wie wird", "warum", "formel", "begriff", "grundlagen",
        "qu est ce", "c est quoi", "explique*", "que signifie", "comment fonctionne", "comment calcul*", "comment marche", "defini*", "formule", "pourquoi", "notion",
        "que es", "que son", "explica*", "que significa", "como funciona", "como se calcula", "defin*", "formula", "por que", "concepto",
    ),
    "lookup": (
        "trading at", "revenue", "net income", "profit margin", "dividend history", "price history", "sharpe ratio of", "stock doing", "performance of", "returned in", "how many shares", "market value", "52 week low", "kostet", "umsatz", "chiffre d affaires", "ingresos", "cuanto cuesta", "precio de", "unemployment rate", "gdp growth last", "inflation rate", "at right now",
        "happened to", "happened", "beta", "current fed", "current rate", "last quarter", "trading volume", "aktuelle kurs", "ist die aktie", "donne moi le", "ticker of",
        "price of", "current price", "stock price", "share price", "price", "prices", "quote", "rsi", "macd", "moving average", "200 day", "50 day", "market cap", "market caps", "dividend yield", "dividend", "p e", "pe ratio", "eps", "ceo", "ticker", "chart", "52 week", "who is", "who runs", "when does", "when is", "when did", "closing price", "close yesterday", "yesterday", "last month", "last week", "listed", "headquarter*", "earnings date", "report earnings", "what was", "how much is", "var 95", "value at risk", "volatility of", "volatility over", "latest price", "opening price", "all time high", "correlation of", "founded", "employees", "sector is", "go up", "went up", "ex dividend", "maximum drawdown of",
        "kurs", "aktienkurs", "preis", "marktkapitalisierung", "dividendenrendite", "nachste dividende", "wie steht", "wie hoch", "wann", "wer ist", "wer leitet", "gestern", "zahlt", "notiert",
        "cours", "prix", "capitalisation", "rendement du dividende", "dividende", "quand", "qui est", "qui dirige", "combien vaut", "hier", "cote", 
        "precio", "cotiza*", "cotizacion", "capitalizacion", "rentabilidad por dividendo", "dividendo", "cuando", "quien", "cuanto vale", "ayer", 
    ),
    "order": (
        "shares of", "market order", "limit order", "place a", "place an order", "at market", "execute", "cancel my", "transfer", "purchase", "buy me", "submit", "immediately", "set a stop", "close all", "my account", "brokerage", "deposit", "withdraw", "every month",
        "order", "limit order uber", "sofort", "aufgeben", "uberweis*", "ordre limite", "passe un ordre", "au marche", "immediatement", "vire", "orden", "orden limitada", "coloca", "ejecuta", "transfiere",
    ),
    "if": ("if", "wenn", "falls", "si", "in case", "suppose", "assuming", "with"),
    "whatis": ("what is", "what s", "whats", "what are", "was ist", "was sind", "quel est", "quelle est", "quels sont", "cual es", "cuales son", "que es", "que son", "qu est ce"),
    "how": ("how do", "how does", "how is", "how are", "how to", "wie funktion*", "wie kann", "comment", "como"),
    "mine": ("my", "mine", "i", "me", "mein*", "ich", "mir", "mon", "ma", "mes", "je", "mi", "mis", "tengo", "we", "our"),
    "will": ("will", "would", "could", "might", "next", "wird", "wurde", "wurden", "hatten", "nachste", "aura*", "aurai*", "va", "prochaine", "afectara", "tendria", "pasaria", "proxim*", "going up", "stays", "rising", "stronger", "lower", "higher", "latest", "new"),
    "now": ("now", "right now", "today", "at the moment", "currently", "this quarter", "this year", "these days", "jetzt", "gerade", "aktuell", "derzeit", "zurzeit", "im moment", "maintenant", "en ce moment", "du moment", "actuellement", "cette annee", "ahora", "actualmente", "este ano", "this week"),
    "money": ("dollar*", "euro*", "usd", "eur", "savings", "money", "cash", "capital", "k", "ersparnis*", "geld", "argent", "epargne", "dinero", "ahorros"),
    "asset": (
        "investment", "investments", "investor", "investors", "investing", "inversion", "inversiones", "inversor*", "inversiones", "anlage", "anlagen", "anleger", "geldanlage", "investissement*", "my position", "long position", "undervalued", "overvalued", "uberbewertet", "unterbewertet",
        "stock", "stocks", "share", "shares", "shareholder*", "equity", "equities", "etf", "etfs", "fund", "funds", "bond", "bonds", "dividend*", "portfolio*", "earnings", "trader", "trading", "trades", "trade", "bullish", "bearish", "market", "markets", "sector", "sectors", "bubble", "crypto", "savings plan", "volatil*", "drawdown", "holdings", "valuation", "hedge", "margin",
        "aktie*", "anleih*", "fonds", "depot*", "rendite", "borse", "blase", "kurs", "action", "actions", "bourse", "obligation*", "portefeuille", "placement*", "bulle", "rendement", "accion", "acciones", "bolsa", "bonos", "cartera", "burbuja", "rentabilidad",
    ),
    # What shows that it is about something else.
    "elsewhere": (
        "rent*", "cars", "electric cars", "hybrids", "essay", "sentiment of", "volunteer*", "teacher*", "students", "travel*", "brazil", "impfung", "telephone", "smartphone", "neues auto", "coche nuevo", "wine", "garden*", "baby", "birthday", "gift", "dress", "shoes", "bike", "camera", "tv", "headphones", "dentist", "therapy", "headache", "pregnan*", "exercise", "workout", "protein", "vegan", "chatbot", "sql", "css", "html", "database", "kubernetes", "linux", "windows", "android", "macbook", "netflix show", "series to watch", "book to read", "books", "poems", "physics", "chemistry", "biology", "maths", "geometry", "religion", "philosophy", "nuclear power", "vote",
        "sea", "la mer", "derecho", "art", "design", "training programme", "marathon", "a house", "pie", "curriculum", "novel", "painting", "wedding", "tax return", "chess", "history of", "software", "app", "server",
        "python", "rust", "java", "javascript", "code", "laptop", "phone", "iphone", "pixel", "car", "flat", "apartment", "recipe", "bake", "cook", "poem", "song", "story", "essay", "novel", "restaurant*", "movie*", "film", "documentary", "doctor", "surgery", "knee", "vaccine", "medic*", "disease", "school", "university", "exam", "homework", "cv", "resume", "job", "jobs", "nurse", "boss", "relationship", "marriage", "girlfriend", "boyfriend", "wife", "husband", "kids", "dog*", "cat", "cats", "pet*", "football", "soccer", "messi", "ronaldo", "tennis", "marathon", "sleep", "coffee", "caffeine", "diet", "weather", "travel", "holiday", "flight", "hotel", "climate", "bees", "skydiving", "website", "construction", "translate", "poetry", "uniforms", "remote work", "rainforest", "speech", "time into", "game*", "smoking", "sport*", "guitar", "gym", "degree", "career",
        "gedicht", "hund*", "katze*", "haustier*", "studieren", "medizin", "jura", "wohnung", "haus", "urlaub", "rezept", "homeoffice", "fallschirm*", "lied", "wetter", "fussball", "arzt", "kochen", "handy", "kind*",
        "poeme", "chien*", "animaux", "appartement", "maison", "genou", "chirurgie", "recette", "vacances", "teletravail", "chanson", "meteo", "medecin", "ordinateur", "voiture",
        "poema", "perro*", "gato*", "mascota*", "piso", "casa", "rodilla", "cirugia", "receta", "vacaciones", "teletrabajo", "cancion", "medicina", "coche", "ordenador", "futbol", "otono",
    ),
    "talk": (
        "explain that again", "great thank", "did you mean", "say that again", "nice", "cool", "sorry", "help", "test",
        "hi", "hello", "hey", "thanks", "thank you", "rephrase", "shorten", "summarise", "summarize", "your last answer", "you said", "are you sure", "who are you", "what can you do", "ok", "okay", "bullet points", "simpler words", "which model", "good morning", "bye",
        "hallo", "danke", "guten", "genauer", "wer bist du", "kannst du das", "zusammenfassen", "bonjour", "merci", "salut", "reformul*", "resume", "ta derniere", "hola", "gracias", "resumir*", "buenos dias", "adios",
    ),
}

# Certain on their own: no classifier is asked.
NEGATION: tuple[str, ...] = (
    "no workflow", "without workflow", "without a workflow", "without the workflow", "without your agents", "without agents", "without the agents", "no agents", "answer directly", "answer me directly",
    "do not run", "don t run", "dont run", "do not start", "don t start", "dont start", "do not compare", "don t compare", "dont compare", "do not analy*", "don t analy*", "dont analy*", "don t debate", "do not debate", "don t need a _ analysis", "don t want a _ analysis", "do not want a _ analysis", "no need for a", "no need to",
    "don t want an analysis", "don t need an analysis", "don t want a", "don t do a", "dont do a", "do not do a", "no analysis", "no full analysis", "no debate", "no research", "no report", "no research report", "no comparison", "no deep dive", "not asking for", "not asking you", "skip the", "never mind", "stop the", "without analysis", "without an analysis", "without a full",
    "kein workflow", "keinen workflow", "ohne workflow", "ohne agenten", "keine analyse", "keine _ analyse", "keine portfolioanalyse", "keine debatte", "keinen vergleich", "nicht analysieren", "keinen bericht", "antworte direkt", "direkt antworten", "ohne analyse",
    "sans workflow", "sans agents", "sans agent", "pas d analyse", "pas de workflow", "pas de debat", "pas de rapport", "pas de comparaison", "reponds directement", "sans analyse", "ne fais pas", "n analyse pas", "ne compare pas", "sans analyser",
    "sin workflow", "sin agentes", "sin flujo", "sin analisis", "no hagas", "no analices", "no compares", "no quiero un analisis", "no quiero un", "no necesito un", "responde directamente", "sin debate", "ningun analisis",
)
BRIEF: tuple[str, ...] = (
    "just tell", "just give", "just show", "just answer", "just say", "just the", "just explain", "just a quick", "just a", "just need", "just want to know", "just want the", "just quickly", "just wondering what", "just curious what", "only the", "only tell", "only want to know", "only need", "nothing else", "nothing more", "one sentence", "in one word", "one word answer", "one line", "yes or no", "quick question", "quick take", "briefly", "in short", "a quick one", "simply tell", "simply give",
    "nur den", "nur die", "nur das", "nur kurz", "nur eine", "sag mir nur", "sag nur", "nenne mir nur", "gib mir nur", "kurz und knapp", "in einem satz", "ein satz", "in einem wort", "kurze frage", "einfach nur", "lediglich",
    "juste le", "juste la", "juste les", "juste un", "juste une", "dis moi juste", "dis moi seulement", "donne moi juste", "donne moi seulement", "seulement le", "seulement la", "uniquement", "en une phrase", "en un mot", "simplement le", "question rapide", "en bref",
    "solo dime", "solo el", "solo la", "solo los", "solo las", "solo una frase", "solo quiero saber", "solamente", "unicamente", "dime solo", "nada mas", "en una frase", "en una palabra", "pregunta rapida", "brevemente", "simplemente dime",
)
# An imperative at the start of the message.
TRADE_VERBS: frozenset[str] = frozenset(
    "buy sell purchase short cover place execute submit cancel close liquidate transfer set kaufe kauf kaufen verkaufe verkauf verkaufen "
    "storniere ordere achete achetez vends vendez passe passez annule compra compre vende venda coloca cancela ejecuta".split()
)
POLITE: frozenset[str] = frozenset(
    "please can could you would kindly hey hi ok now bitte kannst du s il te plait vous peux tu por favor puedes and then i want to need".split()
)
TRADE_OBJECTS: tuple[str, ...] = (
    "half of", "half my", "a third of", "part of my", "the rest of my", "share", "shares", "stock at", "order", "orders", "at market", "market order", "limit", "all my", "my order", "my open", "my position", "my positions", "all of my", "my entire", "now", "immediately", "stop loss", "a trade", "every month", "for me", "my account",
    "aktie*", "alle meine", "sofort", "meine position", "meine order", "action", "actions", "toutes mes", "tous mes", "au marche", "ordre", "immediatement", "accion*", "todas mis", "todos mis", "orden", "ahora", "mis acciones", "inmediatamente",
)
# "Run the … workflow": a workflow named outright.
STARTERS: tuple[str, ...] = ("run", "start", "launch", "do", "use", "begin", "kick off", "perform", "give me", "make", "i want", "i d like", "please", "starte", "mach*", "fuhre", "lance", "lancez", "fais", "demarre", "inicia", "lanza", "haz", "ejecuta")
NAMES: dict[str, tuple[str, ...]] = {
    "investmentResearch": ("investment research", "investmentresearch", "investment research workflow", "recherche d investissement", "investment analyse", "investigacion de inversion"),
    "assetComparison": ("asset comparison", "assetcomparison", "comparison workflow", "comparaison d actifs", "comparacion de activos"),
    "portfolioAnalysis": ("portfolio analysis", "portfolioanalysis", "portfolio review workflow", "portfolioanalyse", "analyse de portefeuille", "analisis de cartera"),
    "riskAssessment": ("risk assessment workflow", "riskassessment", "risk assessment on", "risk assessment of", "risk assessment for", "risk workflow"),
    "marketOpportunity": ("market opportunity", "marketopportunity", "opportunity workflow", "opportunity scan"),
    "macroImpact": ("macro impact", "macroimpact", "macro workflow"),
    "marketDebate": ("market debate", "marketdebate", "debate workflow", "bull bear debate", "bull vs bear debate"),
}
