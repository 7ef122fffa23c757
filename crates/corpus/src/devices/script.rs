//! For tests: is a text in the script and grammar it claims?

/// Characters that only Simplified Chinese writes, as far as everyday text goes.
const SIMPLIFIED: &str = "与专业东丝丢两严丧个临为丽举义乌乐乔习乡书买乱争亏亚产亩亲亿仅从仑仓仪们众优会伞伟传伤伦伪伫体侠侣侥侦侧侨俩俭债倾偿储儿兑兰关兴养兽冈册写军\
农冯冲决况冻净凄凉减凑凤凭凯击凿刘则刚创删别刹剂剑剧劝办务动励劲劳势勋匀区医华协单卖卢卫却厅历厉压厌厕厢厦县参双发变叙叠号叹吓吕吗听启吴呐呕\
员呛呜咏咙响哑哗唤啰啸喷嘱团园围国图圆圣场坏块坚坛坝坟坠垄垒垦垫堕墙壮声壳壶处备复够头夹夺奋奖妆妇妈娄娇娱婴孙学宁宝实宠审宪宽宾寝对寻导寿将\
尔尘尝层屉届属屡岁岂岗岛岭峡峦币帅师帐帜带帮库应庙庞废开异弃张弥弯弹强归录彻径忆忧怀态怜总恋恳恶恼悦悬惊惧惨惩惯愤懒戏战户扑执扩扫扬扰抚抛抢\
护报担拟拢拣拥拦拧拨择挚挡挤挥捞损换掷携摄摆摇摊撑敌数斋断无旧时旷昙显晒晓晕暂术机杀杂权条来杨构枢枣枪标栈栋栏树样桥桨桩梦检楼槛横欢欧残殴毁\
毕气汇汉汤沟沪泪泼泽洁洒浅浆浇测济浓涛涝润涨渊渐渔温湾湿溃滚满滤滥滨滩潜澜灭灯灵灾炉点炼烁烂烟烦烧烫热爱爷牵犹狭狮独狱猎猪猫献环现玛琐琼电画\
畅疗疮疯痒瘫皱盏盐监盖盘睁瞒矫码砖础硕碍礼祸离秽积称稳穷窃窍窝窥竖竞笔笋笼筛签简箩篮类粮紧纠红纤约级纪纯纱纲纳纵纷纸纹纺纽线练组细织终绍经绑\
绒结绕绘给络绝统继绩绪续维绵综绿缓编缘缝缩缴网罗罚罢羡聋职联聪肃肠肤肾肿胀胁胆脉脏脑脚脱脸腻腾舰舱艰艺节芜芦苍苏茎荚荡荣荤荧药莱莲获莹萝萤营\
萧萨葱蒋蓝蔷蔼虏虑虽虾蚀蚁蚂蚕蛎蛮蝇蝉补衬袄袜装裤见观规觅视览觉触誉订认讥讨让训议讯记讲许论设访证评识诉词译试诗诚话诞询该详语误说请诸课谁调\
谅谈谊谋谎谓谜谢谣谦谱贝负贡财责贤败货质贩贪贫购贯贱贴贵贷贸费贺贼贾资赏赐赔赖赚赛赞赠赢赵赶趋跃践轧轨轩转轮软轰轻载轿较辅辆辈辉辑输辖辞辩边\
达迁过迈运还这进远违连迟选逊递逻遗遥邓邮邻郑酝酱酿释鉴针钉钓钙钛钟钢钥钩钮钱钻铁铃铅铜铝铭银铸铺链销锁锅锈锋锐错锡锣锤锦键锯锻镀镇镜长门闪闭\
问闯闲间闷闸闹闻阀阁阅阔队阳阴阵阶际陆陈陕险随隐难雾静页顶顷项顺须顽顾顿预领颇颈频题颜额风飘飞饥饭饮饰饱饲饵饶饺饼馅馆驱驳驴驶驻驼驾骂骄验骑\
骗骤鱼鲁鲜鲤鸟鸡鸣鸦鸭鸽鹅鹰麦黄齐齿龄龙龟";

pub(super) fn assert_traditional(text: &str) {
    for character in text.chars() {
        let simplified = SIMPLIFIED.contains(character);
        assert!(!simplified, "{character} is Simplified: {text}");
        assert!(!",;:?!()".contains(character), "half-width {character}: {text}");
        let known = matches!(character, '\u{4e00}'..='\u{9fff}' | '0'..='9' | '\n')
            || "，。、；：？！「」（）".contains(character);
        assert!(known, "{character}: {text}");
    }
    for word in [
        "視頻",
        "軟件",
        "硬件",
        "網絡",
        "質量",
        "信息",
        "屏幕",
        "服務器",
        "打印",
        "激光",
        "設置",
        "數據",
        "菠蘿",
        "土豆",
    ] {
        assert!(!text.contains(word), "{word} is not a word of Taiwan: {text}");
    }
}

pub(super) fn assert_english(text: &str) {
    assert!(text.is_ascii(), "{text}");
    assert!(!text.contains("  ") && !text.contains("..") && !text.contains(" ,"), "{text}");
    for line in text.lines() {
        assert!(line.starts_with(|c: char| c.is_ascii_uppercase() || c == '"'), "{line}");
    }
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphabetic()).collect();
    for pair in words.windows(2) {
        let (article, word) = (pair[0].to_lowercase(), pair[1].to_lowercase());
        let spoken_vowel = word.starts_with(['a', 'e', 'i', 'o', 'u'])
            && !["uni", "use", "usual", "one", "eu"].iter().any(|sound| word.starts_with(sound))
            || word.starts_with("hour");
        match article.as_str() {
            "a" => assert!(!spoken_vowel || word.is_empty(), "a {word}: {text}"),
            "an" => assert!(spoken_vowel, "an {word}: {text}"),
            _ => {}
        }
        assert!(article != word || article.is_empty(), "{word} {word}: {text}");
    }
    for sentence in text.split(". ") {
        assert!(!sentence.starts_with(|c: char| c.is_ascii_lowercase()), "{sentence}");
    }
}

/// The conversion table of OpenCC lists every Simplified character; it is not part of this repository.
#[test]
fn the_lexicon_holds_no_character_that_opencc_calls_simplified() {
    let what = "the lexicon against OpenCC's table";
    let Some(path) = luthier_fixtures::shared_for("data/opencc/STCharacters.txt", what) else { return };
    let table = std::fs::read_to_string(path).expect("the table is text");
    let text: String = super::rows(1, 5_000, super::Side::Train)
        .map(|row| row.instruction + &row.input + &row.output)
        .chain(super::pretraining_text(1, 5_000))
        .collect();
    let used: std::collections::HashSet<char> = text.chars().collect();
    let mut read = 0;
    for (simplified, traditional) in table.lines().filter_map(|line| line.split_once('\t')) {
        let shared_form = traditional.split(' ').any(|form| form == simplified);
        let character = simplified.chars().next().expect("a character");
        assert!(shared_form || !used.contains(&character), "{character} is Simplified");
        read += 1;
    }
    assert!(read > 3_000, "{read} entries");
}
